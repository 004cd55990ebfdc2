"""Reward models under the protocols of others: rerank and predict (Text Embeddings Inference),
get_reward (OpenRLHF), classify (vLLM). Below /reward; n items in, n scores out, in order.

`scores` is what they share.
"""
