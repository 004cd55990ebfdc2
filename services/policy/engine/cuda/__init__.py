"""The decoder on CUDA: one file per Triton kernel, `decoder.py` that runs them, `graphs.py` that
replays whole steps. Imported only where the device is CUDA, or Triton's interpreter runs.
"""
