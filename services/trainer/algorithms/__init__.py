"""Pure functions on tensors, one algorithm per file; nothing here knows of gRPC, files or recipes.

groups · grpo · rloo · ppo (advantages) · surrogate (policy loss) · importance (truncation) ·
kl (estimators by place) · aggregate (normalisation) · davidson (pairs with ties)
"""
