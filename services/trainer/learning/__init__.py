"""What happens between rollouts and new weights: no gRPC, no protos, no files.

groups (what is learned from) · packing (into padded tensors) · likelihood (one forward per group) ·
plan (which groups make which update) · optimizer · objective (policy losses) · learner (the step)
"""
