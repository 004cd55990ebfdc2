"""Real pictures, sentences that people wrote, and five people's votes on each (NLVR, ACL 2017).

settings: deploy/recipes/nlvr.toml · source: the files · importing: items, votes, a task file ·
story: the stages in order · report: the figures beside their floors.
"""

from services.cli.experiments.nlvr.story import run_nlvr

__all__ = ["run_nlvr"]
