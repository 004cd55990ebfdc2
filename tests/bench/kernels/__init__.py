"""`python -m tests.bench.kernels`: ways to run a decoder on CPU, on the shapes of the benchmark.

timing (ways in turns) · products (the matrix products of a step by themselves) · decode_native,
decode_torch, decode_onnx (a whole step: all layers and the head) · __main__ (tables)
"""
