"""Enums of the contract, as the words that callers use."""

from collections.abc import Mapping
from typing import TypeVar

from attune_client.errors import InvalidArgument

V = TypeVar("V")


def chosen(field: str, word: str, table: Mapping[str, V]) -> V:
    """What a word stands for. Raises InvalidArgument that names the words there are."""
    if word not in table:
        raise InvalidArgument(f"{field} is {word!r}; it must be one of {', '.join(table)}")
    return table[word]
