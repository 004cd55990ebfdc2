"""`attune new task`: a task of the user's own, ready to run.

shapes: the example's pictures · writing: the folder · template: its scorer, recipe and words.
"""
