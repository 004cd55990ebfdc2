"""Decoding of untrusted media in processes of their own: pool, process, worker, frames, metrics."""
