"""`attune bench generate` and `attune bench images`: the engine beside others, alternated in a run.

checkpoint (the random model) · cases (what is asked) · contestant (a process that answers orders) ·
measuring (rounds, medians, the roofline) · report (tables, JSON) · command
"""
