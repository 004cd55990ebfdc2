"""The reward model on pairs that it was not trained on, beside what the raters' noise admits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protos.v1 import judgement_pb2, versions_pb2
from services.cli.evaluation.intervals import Estimate
from services.cli.evaluation.report import estimate_figures
from services.cli.evaluation.scoring import score_answers
from services.cli.experiments.collection import JudgedItem
from services.cli.experiments.pairs import JudgedPair, pair_accuracy
from services.cli.experiments.raters import decided_pairs
from services.cli.stack.connection import Services

_ROWS_PER_REQUEST = 256


@dataclass(frozen=True)
class RewardCheck:
    """Accuracy by family and overall; `ceiling` is that of the truth, without the noise."""

    accuracy: Estimate | None
    ceiling: Estimate | None
    by_family: dict[str, tuple[Estimate | None, Estimate | None]]

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "pair_accuracy": estimate_figures(self.accuracy),
            "noise_ceiling": estimate_figures(self.ceiling),
            "families": {
                family: {
                    "pair_accuracy": estimate_figures(accuracy),
                    "noise_ceiling": estimate_figures(ceiling),
                }
                for family, (accuracy, ceiling) in self.by_family.items()
            },
        }


def check_reward(
    services: Services,
    version: str,
    scorer: str,
    items: Sequence[JudgedItem],
    judgements: Sequence[judgement_pb2.Judgement],
) -> RewardCheck:
    """Scores the judged answers with the reward model, and with the scorer of what raters see."""
    learned = _scores(services, version, items)
    truth = _scores(services, scorer, items)
    pairs = decided_pairs(items, judgements)

    def both(some: list[JudgedPair]) -> tuple[Estimate | None, Estimate | None]:
        return pair_accuracy(some, learned), pair_accuracy(some, truth)

    families = dict.fromkeys(pair.family for pair in pairs)
    by_family = {family: both([p for p in pairs if p.family == family]) for family in families}
    return RewardCheck(*both(pairs), by_family)


def _scores(
    services: Services, version: str, items: Sequence[JudgedItem]
) -> dict[str, float | None]:
    answers = [answer for judged in items for answer in judged.answers]
    names = [j.candidate_id(index) for j in items for index in range(len(j.answers))]
    scorer = versions_pb2.ModelRef(version=version)
    scores: list[float | None] = []
    for start in range(0, len(answers), _ROWS_PER_REQUEST):
        batch = answers[start : start + _ROWS_PER_REQUEST]
        scores += [s.reward for s in score_answers(services.reward, scorer, batch)]
    return dict(zip(names, scores, strict=True))
