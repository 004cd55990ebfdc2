"""What `attune bench generate` and `attune bench images` run of the policy.

random_llama, random_janus, random_tokenizer (checkpoints for all systems) · orders (what is asked)
· contestant (the engine by itself) · served (the service over gRPC) · roofline (what the machine
could do at most)
"""
