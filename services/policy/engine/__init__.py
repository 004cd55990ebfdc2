"""The generation engine, pure torch. `engine.py` is its thread and the place to begin.

engine → scheduler → lane → batch → (kv_cache, heads → sampler, observation); `request.py` is what
goes in and comes out.
"""
