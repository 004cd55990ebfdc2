"""What `attune bench generate` runs of the policy: the engine by itself, without a service.

random_llama (checkpoints for all systems) · contestant (answers orders on standard input) ·
roofline (what the machine could do at most)
"""
