"""The demo: the whole loop on the default world, in ten minutes on two cores.

settings: deploy/recipes/demo.toml · tasks: what is answered and judged · story: the stages in order
· report: table and figures · command: `attune demo`.
"""

from services.cli.experiments.demo.settings import DemoSettings
from services.cli.experiments.demo.story import run_demo

__all__ = ["DemoSettings", "run_demo"]
