"""Spoken digits: recordings of four people; one of them is held out at a time.

settings: deploy/recipes/spoken_digits.toml · source: the files · augmentation: variants ·
importing: rows of a task · story: the stages in order · picture: what was heard and answered.
"""

from services.cli.experiments.spoken_digits.story import run_spoken_digits

__all__ = ["run_spoken_digits"]
