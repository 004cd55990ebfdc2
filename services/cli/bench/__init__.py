"""`attune bench`: what things cost on this machine. generate/ is the engine; here are media:

cases (what is sent) · latency (how long, how much) · report (tables, JSON) · command
"""
