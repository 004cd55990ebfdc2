"""Checks of answers against a reference, from 0 to 1: what programs score and simulated raters see.

exact: the same answer · words: F1 of words · colours: agreement of a picture's colours, cell by
cell. The default world's own are in services/common/world/checkers.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

from models.preprocessing.conversation import Turn
from services.common.checks import colours, exact, words
from services.common.world.answers import CheckResult

Check = Callable[[Mapping[str, Any], Turn], CheckResult]

# By the name of the scorer that runs it (services/reward/scorers/program.py).
CHECKS: Mapping[str, Check] = {
    "program/exact": exact.check,
    "program/words": words.check,
    "program/colours": colours.check,
}
