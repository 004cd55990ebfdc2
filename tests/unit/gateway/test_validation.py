"""Paths of fields as people write them."""

import pytest

from services.gateway.validation import describe_validation_error, field_path


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("body", "messages", 0, "content"), "messages[0].content"),
        (("body", "messages", 0, "content", 1, "text", "text"), "messages[0].content[1].text"),
        (
            ("body", "messages", 2, "content", 0, "image_url", "image_url", "url"),
            "messages[2].content[0].image_url.url",
        ),
        (
            ("body", "messages", 0, "content", 1, "input_audio", "input_audio", "data"),
            "messages[0].content[1].input_audio.data",
        ),
        (("body", "stop", 3), "stop[3]"),
        (("query", "after"), "query.after"),
        (("body",), None),
    ],
)
def test_a_location_is_written_as_a_path_without_the_tags_of_parts(location, path):
    assert field_path(location) == path


def test_a_long_value_is_not_repeated_in_the_message():
    error = {"type": "x", "loc": ("body", "url"), "msg": "Bad", "input": "data:" + "A" * 1000}
    message, param, code = describe_validation_error([error])
    assert (message, param, code) == ("url: bad", "url", "invalid_value")
