"""Which held-out answers are shown, and how they are written under a picture."""

from protos.v1 import content_pb2
from services.cli.evaluation.scoring import ScoredAnswer
from services.cli.experiments.contact_sheet import Line
from services.cli.experiments.improvement import GREEDY, PartOutcome

Pair = tuple[ScoredAnswer, ScoredAnswer]
_RIGHT_FROM = 0.999


def chosen_examples(outcome: PartOutcome, count: int, family: str | None = None) -> list[Pair]:
    """Greedy answers to the same items before and after RL, spread over the items.

    Half of them, at most, are of those whose score RL changed.
    """
    before, after = outcome.cards[GREEDY]
    families = [family] if family else list(before.scored)
    pairs = [pair for f in families for pair in zip(before.scored[f], after.scored[f], strict=True)]
    changed = [pair for pair in pairs if pair[0].reward != pair[1].reward]
    others = [pair for pair in pairs if pair[0].reward == pair[1].reward]
    first = _spread(changed, count // 2)
    return first + _spread(others, count - len(first))


def answer_line(name: str, scored: ScoredAnswer) -> Line:
    """What was answered, and whether it was wholly right."""
    is_right = None if scored.reward is None else scored.reward >= _RIGHT_FROM
    return Line(f"{name}: {answer_text(scored.answer.message)}", is_right)


def answer_text(message: content_pb2.Message) -> str:
    """The words of an answer."""
    return " ".join(part.text for part in message.parts if part.text)


def _spread(pairs: list[Pair], count: int) -> list[Pair]:
    step = max(1, len(pairs) // count) if count else 1
    return pairs[::step][:count]
