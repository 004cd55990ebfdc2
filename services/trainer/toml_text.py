"""Writes values as TOML, for resolved recipes that people read and `read_recipe` reads again.

The standard library only reads TOML.
"""

import json
from collections.abc import Mapping
from typing import Any


def toml_text(values: Mapping[str, Any]) -> str:
    """TOML of JSON-like values; None is left out, nested tables become sections."""
    return "\n\n".join(_tables(values, ())) + "\n"


def _tables(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    present = {key: value for key, value in values.items() if value is not None}
    lines = [f"{k} = {_value(v)}" for k, v in present.items() if not isinstance(v, Mapping)]
    header = [f"[{'.'.join(path)}]"] if path and lines else []
    own = ["\n".join(header + lines)] if lines else []
    nested = [
        t for k, v in present.items() if isinstance(v, Mapping) for t in _tables(v, (*path, k))
    ]
    return own + nested


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case Mapping():
            pairs = (f"{k} = {_value(v)}" for k, v in value.items() if v is not None)
            return f"{{ {', '.join(pairs)} }}"
        case _:
            raise TypeError(f"{type(value).__name__} has no form in TOML: {value!r}")
