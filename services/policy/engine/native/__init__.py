"""Compiled kernels for the CPU: products, attention over pages and the decoder's step in C++.

lanes · crew (threads) · matrix (packed weights) · attention · decoder · native (what is exported);
library (builds and binds them) · matrix and decoder in Python hold what they are given.
"""
