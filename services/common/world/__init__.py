"""The default world: colored shapes, what is asked of them, and how answers are judged.

scenes · sampling (levels, splits) · drawing · detector · language · questions · clips and
clip_questions (things that move) · speech (synthesised by code) · media (sound and clips, as
encoded) · families (one file each: compose an exercise, check an answer) · items · checkers ·
raters (simulated). No torch.
"""
