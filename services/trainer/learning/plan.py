"""Which groups make which update, decided once per step and written to the replay log.

Minibatches are drawn at random, so that none is all of one kind; within one, groups of similar
length share a micro-batch, so that little is padded.
"""

from collections.abc import Sequence
from random import Random

from pydantic import BaseModel, ConfigDict

from services.trainer.learning.groups import PromptGroup
from services.trainer.learning.packing import row_tokens

Microbatch = tuple[int, ...]


class Minibatch(BaseModel):
    """One optimiser update: all its groups count in denominators, `microbatches` are computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    members: tuple[int, ...]
    microbatches: tuple[Microbatch, ...]


class UpdatePlan(BaseModel):
    """`epochs` lists the order of minibatches in each pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    minibatches: tuple[Minibatch, ...]
    epochs: tuple[tuple[int, ...], ...]

    @property
    def num_updates(self) -> int:
        """Optimiser updates that have something to compute, over all epochs."""
        return len(self.epochs) * sum(bool(m.microbatches) for m in self.minibatches)


def make_plan(
    groups: Sequence[PromptGroup],
    is_active: Sequence[bool],
    seed: str,
    num_minibatches: int = 1,
    num_epochs: int = 1,
    tokens_per_microbatch: int = 4096,
) -> UpdatePlan:
    """A pure function of its arguments. A group that is not active has no gradient."""
    rng = Random(seed)
    order = list(range(len(groups)))
    if num_minibatches > 1:
        rng.shuffle(order)
    cuts = [order[start::num_minibatches] for start in range(min(num_minibatches, len(order)))]
    minibatches = tuple(
        Minibatch(
            members=tuple(cut),
            microbatches=_microbatches(
                groups, [i for i in cut if is_active[i]], tokens_per_microbatch
            ),
        )
        for cut in cuts
    )
    epochs = tuple(
        tuple(rng.sample(range(len(minibatches)), len(minibatches))) for _ in range(num_epochs)
    )
    return UpdatePlan(minibatches=minibatches, epochs=epochs)


def _microbatches(
    groups: Sequence[PromptGroup], indices: list[int], max_tokens: int
) -> tuple[Microbatch, ...]:
    """Cuts the groups, shortest answers first, where one more would pass `max_tokens` padded."""
    by_length = sorted(
        indices, key=lambda i: (groups[i].longest_answer, len(groups[i].prompt_ids_L), i)
    )
    cut: list[list[int]] = []
    for index in by_length:
        if cut and _padded_tokens([groups[i] for i in [*cut[-1], index]]) <= max_tokens:
            cut[-1].append(index)
        else:
            cut.append([index])
    return tuple(tuple(microbatch) for microbatch in cut)


def _padded_tokens(groups: Sequence[PromptGroup]) -> int:
    prompt = max(len(group.prompt_ids_L) for group in groups)
    answers = max(row_tokens(group) - len(group.prompt_ids_L) for group in groups)
    return len(groups) * (prompt + answers)
