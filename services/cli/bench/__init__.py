"""`attune bench`: what things cost on this machine. Here are media:

cases (what is sent) · latency (how long, how much) · command

generate/ is the engine; weights/ publications under load; soak/ everything at once. They share
random_checkpoint · callers (threads that ask) · traffic (what came of it) · answers (is one
whole?) · quantile · memory (thirds) · bars (what figures are held to) · service_metrics
"""
