"""The multimodal policy and reward models, in plain PyTorch. Imports nothing itself."""
