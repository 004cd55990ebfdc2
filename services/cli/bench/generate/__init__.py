"""`attune bench generate`: the engine beside others, alternated in one run.

cases (what is asked) · contestant (a process that answers orders) · measuring (rounds, medians,
the roofline) · report (tables, JSON) · command
"""
