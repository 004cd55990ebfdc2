"""Held-out scores of policies, through the services.

tasks: what is asked · sampling: answers · scoring: their scores · intervals: the bootstrap ·
scorecard: one policy's figures · report: table and JSON · command: `attune eval`.
"""
