"""`attune bench`: what things cost on this machine. media (recordings, clips, pictures) so far.

cases (what is sent) · latency (how long, how much) · report (tables, JSON) · command
"""
