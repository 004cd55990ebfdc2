"""The `attune` command. It imports no torch and no other service, and meets them over gRPC.

main: the command tree · commands: one file each · stack: services on this machine · runs: recipes,
runs and their progress · evaluation: held-out scores · chat · new_task · demo · experiments.
"""
