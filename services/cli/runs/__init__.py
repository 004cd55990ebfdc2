"""Runs as the command line sees them.

recipes: by name or path · following: start, watch, stop · view: live progress · summary: the end.
"""
