"""Relations, sizes and boxes, against scenes laid out by hand."""

import pytest

from services.common.world.scenes import (
    DRAWN_SLOPE,
    OPPOSITE,
    RELATIONS,
    Scene,
    Thing,
    intersection_over_union,
    relation_between,
    size_of,
)

CENTER = (10, 10, 21, 21)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 0, 21, 9), "above"),
        ((10, 22, 21, 31), "below"),
        ((0, 10, 9, 21), "left of"),
        ((22, 10, 31, 21), "right of"),
    ],
)
def test_each_relation_is_told_by_the_offset_of_centers(box, expected):
    assert relation_between(box, CENTER) == expected
    assert relation_between(CENTER, box) == OPPOSITE[expected]


def test_a_diagonal_offset_is_no_relation():
    assert relation_between((0, 0, 11, 11), (16, 16, 27, 27)) is None
    assert relation_between((0, 0, 11, 11), (16, 16, 27, 27), DRAWN_SLOPE) is None


def test_a_leaning_offset_is_not_clear_but_counts_when_drawn():
    leaning, anchor = (0, 0, 11, 11), (12, 16, 23, 27)
    assert relation_between(leaning, anchor) is None
    assert relation_between(leaning, anchor, DRAWN_SLOPE) == "above"


def test_things_at_one_place_have_no_relation():
    assert relation_between(CENTER, CENTER) is None


def test_every_relation_has_an_opposite_that_leads_back():
    assert {OPPOSITE[relation] for relation in RELATIONS} == set(RELATIONS)
    assert all(OPPOSITE[OPPOSITE[relation]] == relation for relation in RELATIONS)


def test_a_box_spans_the_thing_with_exclusive_ends():
    assert Thing("red", "circle", 10, 12, 5).box == (5, 7, 16, 18)


def test_sizes_are_told_between_eleven_and_fifteen_pixels():
    assert size_of((0, 0, 11, 11)) == "small"
    assert size_of((0, 0, 15, 15)) == "large"
    assert Thing("red", "circle", 10, 10, 7).size == "large"


def test_iou_of_known_boxes():
    assert intersection_over_union((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert intersection_over_union((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert intersection_over_union((0, 0, 4, 4), (20, 20, 24, 24)) == 0
    assert intersection_over_union((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(8 / 24)


def test_the_relations_of_four_corners_leave_out_the_diagonals():
    corners = [(6, 6), (24, 6), (6, 24), (24, 24)]
    colors = ("red", "green", "blue", "yellow")
    scene = Scene(
        tuple(
            Thing(color, "circle", x, y, 5) for color, (x, y) in zip(colors, corners, strict=True)
        )
    )
    assert scene.relations() == [
        (0, "left of", 1),
        (0, "above", 2),
        (1, "above", 3),
        (2, "left of", 3),
    ]
