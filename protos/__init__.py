"""Versioned gRPC contracts and the code generated from them."""
