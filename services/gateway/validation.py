"""Turns what pydantic found wrong with a request into a sentence, a field and a code."""

from collections.abc import Sequence
from typing import Any

_PART_TYPES = ("text", "image_url", "input_audio", "audio_url", "video_url")
_MISSING_BODY = "send a JSON body with the header Content-Type: application/json"


def describe_validation_error(errors: Sequence[Any]) -> tuple[str, str | None, str]:
    """The message, `messages[0].content[1].text`, and the code of the first thing that is wrong."""
    first = errors[0]
    param = field_path(first["loc"])
    kind = str(first["type"])
    if kind == "extra_forbidden":
        return f"unknown field {param!r}; remove it or see /openapi.json", param, "unknown_field"
    if kind == "json_invalid":
        detail = first.get("ctx", {}).get("error", "")
        return f"the body is not valid JSON: {detail}", None, "invalid_json"
    if kind == "conflict":
        return first["msg"], first["ctx"]["param"], "invalid_value"
    if param is None:
        return _MISSING_BODY, None, "invalid_body"
    if kind == "missing":
        return f"{param} is required", param, "missing_field"
    return f"{param}: {_lower_first(first['msg'])}{_got(first)}", param, "invalid_value"


def field_path(location: Sequence[str | int]) -> str | None:
    """("body", "messages", 0, "content") as `messages[0].content`.

    Every list of alternatives is tagged (a part by its type), and the tag follows the index; it is
    no field and is left out.
    """
    path = ""
    after_index = False
    for step in location[1:] if location[:1] == ("body",) else location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not (after_index and step in _PART_TYPES):
            path += f".{step}" if path else str(step)
        after_index = isinstance(step, int)
    return path or None


def _got(error: Any) -> str:
    """The value that came, where it is short enough to be of use; media never are."""
    if error["type"] == "unicode":
        return ""
    value = error.get("input")
    short = isinstance(value, str | int | float | bool) and len(str(value)) <= 64
    return f" (got {value!r})" if short else ""


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
