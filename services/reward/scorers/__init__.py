"""Scorers behind one contract: onnx, program, user, blend; `batched` is what three of them use."""
