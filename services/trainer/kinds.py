"""Kinds of version in the store."""

POLICY, REWARD = "policy", "reward"
