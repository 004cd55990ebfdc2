"""The contracts' generated code; `python -m protos.generate` in Attune's repository writes it."""
