"""What services share: configuration, errors, logs, metrics, plumbing, codecs, versions, world."""
