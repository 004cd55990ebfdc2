"""Which of a run's metrics people look at first, and how a figure is written."""

from collections.abc import Mapping

_NUM_SHOWN = 8
# In order of interest, over all stages; a name is matched whole or as the end of a path.
_FIRST = (
    "reward_mean",
    "heldout_pair_accuracy",
    "heldout_loss",
    "loss",
    "kl",
    "entropy",
    "samples",
    "seconds/rollout",
    "seconds/score",
    "seconds/learn",
)


def headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    """At most eight metrics of interest, or any eight where none is known to be."""
    ranked = sorted(metrics, key=lambda name: (_rank(name), name))
    known = [name for name in ranked if _rank(name) < len(_FIRST)]
    return {name: metrics[name] for name in (known or ranked)[:_NUM_SHOWN]}


def figure_text(value: float) -> str:
    """Four significant digits; whole numbers stay whole."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def _rank(name: str) -> int:
    ends = (name, name.rpartition("/")[2])
    return next((i for i, first in enumerate(_FIRST) if first in ends), len(_FIRST))
