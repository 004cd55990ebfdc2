"""What a judgement must say."""

import math

import pytest

from protos.v1.judgement_pb2 import Judgement
from services.common.errors import InvalidArgument
from services.feedback.validation import KINDS, candidates_of, check_judgement
from tests.unit.feedback.records import answer, judgement, picture, png, text

PAIR = {"first_candidate_id": "a", "second_candidate_id": "b", "outcome": 1}
RATING = {"candidate_id": "a", "value": 3, "scale_min": 1, "scale_max": 5}
BOX = {"left": 0.1, "top": 0.2, "right": 0.3, "bottom": 0.4}
REGION = {"candidate_id": "a", "region": {"box": BOX}, "label": 1}
SPAN = {"candidate_id": "a", "span": {"start": 0, "end": 2}, "label": 1}


def region(**shape) -> dict:
    return {"region": REGION | {"region": shape}}


def corners(n: int) -> dict:
    return {"points": [{"x": i / n, "y": 0.5} for i in range(n)]}


GOOD = {
    "pair": {"pair": PAIR},
    "both bad": {"pair": PAIR | {"outcome": 4}},
    "strongest": {"pair": PAIR | {"strength": 3, "shown_left_candidate_id": "b"}},
    "rating": {"rating": RATING},
    "rating below zero": {"rating": RATING | {"value": -2, "scale_min": -2}},
    "whole picture": region(box={"left": 0, "top": 0, "right": 1, "bottom": 1}),
    "point": region(point={"x": 0, "y": 1}),
    "triangle": region(polygon=corners(3)),
    "mask": region(mask_png=png()),
    "clip": region(box=BOX, start_s=0, end_s=1.5),
    "from a time on": region(box=BOX, start_s=3),
    "region and span": {"region": REGION | {"importance": 100, "linked_span": SPAN["span"]}},
    "span": {"span": SPAN | {"severity": 1}},
    "edit": {"edit": {"candidate_id": "a", "edited": answer(text("x"), picture(png()))}},
    "skip": {"skip": {}},
    "flag an item": {"flag": {"reason": "spam"}},
}


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_a_sound_judgement_passes(fields):
    check_judgement(judgement("k", **fields))


BAD = {
    "no key": ({"idempotency_key": ""}, "idempotency_key is empty"),
    "no item": ({"item_id": ""}, "item_id is empty"),
    "no rater": ({"rater_id": ""}, "rater_id is empty"),
    "long rater": ({"rater_id": "x" * 257}, "at most 256 printable"),
    "no rater kind": ({"rater_kind": 0}, "rater_kind is not set; use person, simulated, imported"),
    "unknown rater kind": ({"rater_kind": 9}, "rater_kind is 9"),
    "before 1970": ({"judged_at_s": -1.0}, "seconds of Unix time"),
    "no time at all": ({"judged_at_s": math.nan}, "seconds of Unix time"),
    "a novel": ({"comment": "x" * 20_001}, "comment has 20001 characters"),
    "itself": ({"pair": PAIR | {"second_candidate_id": "a"}}, "compares 'a' with itself"),
    "one candidate": ({"pair": PAIR | {"second_candidate_id": ""}}, "second_candidate_id is empty"),
    "no outcome": ({"pair": PAIR | {"outcome": 0}}, "first, second, tie, both_bad"),
    "strength": ({"pair": PAIR | {"strength": 4}}, "strength is 4; it must be 1 to 3"),
    "shown": ({"pair": PAIR | {"shown_left_candidate_id": "c"}}, "neither of the two"),
    "reasons": ({"pair": PAIR | {"reasons": ["x" * 20_001]}}, "pair.reasons has 20001"),
    "above scale": ({"rating": RATING | {"value": 6}}, "rating.value is 6; it must be 1 to 5"),
    "below scale": ({"rating": RATING | {"value": 0}}, "rating.value is 0"),
    "no scale": ({"rating": RATING | {"scale_max": 1}}, "rating scale 1 to 1 is empty"),
    "no shape": (region(start_s=1), "region has no shape"),
    "outside": (region(box=BOX | {"right": 1.01}), "must lie within 0 to 1"),
    "before": (region(box=BOX | {"left": -0.1}), "must lie within 0 to 1"),
    "nowhere": (region(box=BOX | {"top": math.nan}), "must lie within 0 to 1"),
    "inside out": (region(box=BOX | {"left": 0.5}), "is empty; left < right"),
    "flat": (region(box=BOX | {"bottom": 0.2}), "is empty"),
    "far point": (region(point={"x": 2, "y": 0}), r"region.point \(2, 0\) must lie"),
    "line": (region(polygon=corners(2)), "has 2 corners"),
    "too many corners": (region(polygon=corners(1001)), "has 1001 corners"),
    "far corner": (
        region(polygon={"points": [{"x": 0}, {"x": 1}, {"x": 5}]}),
        "region.polygon .* must lie",
    ),
    "no png": (region(mask_png=b"GIF89a"), "must be a PNG"),
    "huge mask": (region(mask_png=png() + bytes(1 << 20)), "must be a PNG of at most"),
    "ends first": (region(box=BOX, start_s=2, end_s=1), "end after that"),
    "negative time": (region(box=BOX, start_s=-1), "begin at 0 or later"),
    "infinite time": (region(box=BOX, start_s=math.inf), "begin at 0 or later"),
    "no mark": ({"region": REGION | {"label": 0}}, "region.label is not set; use good, artifact"),
    "importance": ({"region": REGION | {"importance": 0}}, "importance is 0; it must be 1 to 100"),
    "media": ({"region": REGION | {"media_sha256": "x"}}, "64 lower-case hex"),
    "linked": ({"region": REGION | {"linked_span": {"start": 1, "end": 1}}}, "linked_span from 1"),
    "no span": ({"span": SPAN | {"span": {"start": 3, "end": 2}}}, "from 3 to 2 is empty"),
    "severity": ({"span": SPAN | {"severity": 101}}, "severity is 101"),
    "empty edit": ({"edit": {"candidate_id": "a"}}, "edited has no parts"),
    "edit of nothing": ({"edit": {"edited": answer(text("x"))}}, "candidate_id is empty"),
    "empty part": (
        {"edit": {"candidate_id": "a", "edited": {"parts": [{}]}}},
        "edited has an empty part",
    ),
}


@pytest.mark.parametrize(("fields", "said"), BAD.values(), ids=BAD)
def test_a_judgement_that_says_too_little_or_too_much_is_refused(fields, said):
    given = judgement("k")
    kinds = set(fields) & set(KINDS)
    if kinds:
        given.ClearField("pair")
    given.MergeFrom(Judgement(**fields))
    for field, value in fields.items():
        if not kinds and value in ("", 0):
            given.ClearField(field)
    with pytest.raises(InvalidArgument, match=said):
        check_judgement(given)


def test_a_judgement_of_no_kind_is_told_the_kinds():
    with pytest.raises(InvalidArgument, match="set one of pair, rating, region, span, edit, skip"):
        check_judgement(judgement("k", pair=None))


@pytest.mark.parametrize("kind", KINDS)
def test_the_candidates_of_every_kind_are_known(kind):
    fields = {f.name for f in Judgement.DESCRIPTOR.fields_by_name[kind].message_type.fields}
    body = {name: "a" for name in fields if name.endswith("candidate_id") and "left" not in name}
    found = candidates_of(Judgement(**{kind: body}))
    assert found == ["a"] * len(body)
