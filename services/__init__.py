"""Attune's services; one folder each. See docs/architecture.md."""
