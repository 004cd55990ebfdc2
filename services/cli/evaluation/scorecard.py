"""One policy's scores on a task, by family, gathered through the services."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from protos.v1 import versions_pb2
from services.cli.evaluation.intervals import (
    Estimate,
    bootstrap_mean,
    bootstrap_mean_of_means,
)
from services.cli.evaluation.sampling import SamplingChoice, sample_answers
from services.cli.evaluation.scoring import ScoredAnswer, score_answers, scorer_ref
from services.cli.evaluation.tasks import EvaluationTask
from services.cli.stack.connection import Services

# Is told how many items more are done.
OnDone = Callable[[int], None]


@dataclass(frozen=True)
class Scorecard:
    """`scored[family]` is in the order of the task's items."""

    model: str
    policy_version: str
    scored: dict[str, list[ScoredAnswer]]
    took_s: float

    def rewards(self, family: str) -> list[float]:
        """The rewards of what was scored."""
        return [s.reward for s in self.scored[family] if s.reward is not None]

    def estimate(self, family: str) -> Estimate | None:
        """Mean reward of a family."""
        return bootstrap_mean(self.rewards(family))

    def mean(self) -> Estimate | None:
        """Mean over families."""
        return bootstrap_mean_of_means([self.rewards(family) for family in self.scored])

    def strict(self, family: str) -> float | None:
        """Share of wholly right answers, where the scorer tells."""
        values = [s.strict for s in self.scored[family] if s.strict is not None]
        return sum(values) / len(values) if values else None

    def unscored(self) -> Counter[str]:
        """How many were not scored, by family and status."""
        return Counter(
            f"{family}: {s.status}"
            for family, answers in self.scored.items()
            for s in answers
            if s.reward is None
        )

    def first_error(self) -> str:
        """Why the first of them was not scored."""
        errors = (s.error for answers in self.scored.values() for s in answers if s.error)
        return next(errors, "")

    @property
    def num_items(self) -> int:
        """Over all families."""
        return sum(len(answers) for answers in self.scored.values())


def difference(first: Scorecard, second: Scorecard, family: str) -> Estimate | None:
    """Mean of `second` minus `first`, paired by item, over items that both have scored."""
    return bootstrap_mean(_paired(first, second, family))


def mean_difference(first: Scorecard, second: Scorecard) -> Estimate | None:
    """`difference`, over all families."""
    return bootstrap_mean_of_means([_paired(first, second, family) for family in first.scored])


def evaluate(
    services: Services,
    model: str,
    task: EvaluationTask,
    choice: SamplingChoice,
    on_done: OnDone,
) -> Scorecard:
    """Samples one answer per item and scores it; scoring runs beside the next batch's sampling."""
    begin_s = time.monotonic()
    scorer = scorer_ref(services.reward, task.scorer)
    pending: list[Future[list[ScoredAnswer]]] = []
    with ThreadPoolExecutor(max_workers=1) as beside:
        for answers in sample_answers(services.policy, model_ref(model), task.items, 1, choice):
            pending.append(beside.submit(score_answers, services.reward, scorer, answers))
            on_done(len(answers))
        scored = [s for future in pending for s in future.result()]
    by_id = {s.answer.item.item_id: s for s in scored}
    return Scorecard(
        model=model,
        policy_version=scored[0].answer.policy_version if scored else "",
        scored={f: [by_id[i.item_id] for i in task.of_family(f)] for f in task.families},
        took_s=time.monotonic() - begin_s,
    )


def model_ref(model: str) -> versions_pb2.ModelRef:
    """A version by its name ("policy-…"), else an alias."""
    if model.startswith("policy-"):
        return versions_pb2.ModelRef(version=model)
    return versions_pb2.ModelRef(alias=model)


def _paired(first: Scorecard, second: Scorecard, family: str) -> list[float]:
    pairs = zip(first.scored[family], second.scored[family], strict=True)
    return [b.reward - a.reward for a, b in pairs if a.reward is not None and b.reward is not None]
