"""`attune bench weights`: publications of random checkpoints while answers are being written.

versions (what is published) · service (a policy by itself) · load (who asks meanwhile) · publishing
(prepare, commit, by each route) · reference (a cold copy and a hash) · timing (a few, in turns) ·
endurance (many, and memory) · report · command
"""
