"""Characters as they are drawn: is a clip played backwards, are its strokes out of order?

settings: deploy/recipes/drawing_videos.toml · source: the files · drawing: strokes of ink, and what
is made of them · frames: what models are shown of it · importing: clips and rows of a task · story:
the stages in order · picture: clips and answers.
"""

from services.cli.experiments.drawing_videos.story import run_drawing_videos

__all__ = ["run_drawing_videos"]
