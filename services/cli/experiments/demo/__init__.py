"""The demo: the whole loop on the default world, in ten minutes on two cores.

settings: deploy/recipes/demo.toml · collection: answers to be judged · raters: simulated ones ·
reward_check: held-out pair accuracy · story: the stages in order · report: table and figures ·
command: `attune demo`.
"""

from services.cli.experiments.demo.settings import DemoSettings
from services.cli.experiments.demo.story import run_demo

__all__ = ["DemoSettings", "run_demo"]
