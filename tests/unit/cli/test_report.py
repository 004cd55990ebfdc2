from io import StringIO

from rich.console import Console

from protos.v1 import content_pb2, trajectory_pb2
from services.cli.evaluation.report import (
    card_figures,
    gain_figures,
    gain_table,
    score_table,
    unscored_lines,
)
from services.cli.evaluation.sampling import Answer
from services.cli.evaluation.scorecard import Scorecard
from services.cli.evaluation.scoring import ScoredAnswer
from services.common.dataset import WorldSource

_ITEMS = WorldSource(("vqa",), "heldout").take(0, 4)


def _card(model: str, rewards: list[float | None]) -> Scorecard:
    scored = []
    for item, reward in zip(_ITEMS, rewards, strict=True):
        answer = Answer(
            item,
            0,
            content_pb2.Message(),
            1,
            "policy-1",
            trajectory_pb2.SamplingParams(),
            None,
        )
        status = "failed" if reward is None else "scored"
        scored.append(ScoredAnswer(answer, status, reward, reward, "" if reward else "broke"))
    return Scorecard(model, "policy-1", {"vqa": scored}, took_s=2.0)


def _printed(table: object) -> str:
    out = StringIO()
    Console(width=120, file=out).print(table)
    return out.getvalue()


def test_what_is_not_scored_is_counted_and_never_zero():
    card = _card("base", [1.0, None, 1.0, 1.0])
    figures = card_figures(card)
    assert figures["families"]["vqa"]["mean"] == 1.0
    assert figures["families"]["vqa"]["scored"] == 3
    assert figures["not_scored"] == {"vqa: failed": 1}
    assert unscored_lines([card]) == ["base: 1 not scored (vqa: failed): broke"]


def test_a_gain_is_paired_over_items_that_both_have():
    base = _card("base", [0.0, None, 1.0, 0.0])
    better = _card("run/1", [1.0, 1.0, 1.0, None])
    gain = gain_figures(base, better)
    assert gain["families"]["vqa"]["mean"] == 0.5
    assert gain["families"]["vqa"]["scored"] == 2


def test_the_table_has_a_row_per_family_one_for_the_mean_and_the_gain():
    base = _card("base", [0.5, 0.5, 0.5, 0.5])
    better = _card("run/1", [0.75, 0.75, 0.75, 0.75])
    text = _printed(score_table([base, better])) + _printed(gain_table([base, better]))
    assert "run/1 − base" in text
    assert "0.500 [0.500, 0.500]" in text
    assert "+0.250 [+0.250, +0.250]" in text
    assert text.splitlines()[-1].startswith("mean")


def test_a_family_without_a_scored_answer_shows_a_dash():
    text = _printed(score_table([_card("base", [None, None, None, None])]))
    assert "–" in text
    assert "0.000" not in text
