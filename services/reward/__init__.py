"""The reward service: scores answers by reward models, programs, users' functions and blends.

service (the RPCs) · wire · config · metrics · residents (load, unload, alias) · factory (makes
scorers) · aliases and catalog (what a restart brings back) · batcher · waiting (its queue) ·
scorers (one file each). No torch.
"""
