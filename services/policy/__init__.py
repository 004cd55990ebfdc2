"""The policy service: generation for applications, rollouts for training, two-phase weights.

`engine/` generates and knows nothing of the wire; the modules here translate and keep versions.
"""
