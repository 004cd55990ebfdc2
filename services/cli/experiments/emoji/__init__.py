"""Emoji: to name a picture, and to draw a name; subgroups are held out.

settings: deploy/recipes/emoji.toml · source: sprite sheets · importing: pictures and rows of the
two tasks · bounds: floors and the tokenizer's ceiling · story: the stages in order · picture: what
was named and drawn.
"""

from services.cli.experiments.emoji.story import run_emoji

__all__ = ["run_emoji"]
