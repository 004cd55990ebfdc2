"""The trainer service: runs, stages and algorithms."""
