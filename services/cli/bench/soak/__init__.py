"""`attune bench soak`: everything at once for a while; what is lost, what leaks?

calls (what is asked) · variants (weights to publish) · soaking (the run) · report · command
"""
