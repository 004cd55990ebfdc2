"""Pages of a listing: the token that a client hands back, bound to what it asked for."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from services.common.errors import InvalidArgument

M = TypeVar("M", bound=Message)

DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Messages with their event numbers, in order, and whether more follow."""

    seqs: list[int]
    messages: list[M]
    has_more: bool


def take_page(found: Iterable[tuple[int, M]], limit: int, max_bytes: int) -> Page[M]:
    """The first messages, at most `limit` and about `max_bytes` of them; at least one if any."""
    seqs: list[int] = []
    messages: list[M] = []
    for seq, message in found:
        max_bytes -= message.ByteSize()
        if messages and (max_bytes < 0 or len(messages) == limit):
            return Page(seqs, messages, has_more=True)
        seqs.append(seq)
        messages.append(message)
    return Page(seqs, messages, has_more=False)


def next_token(page: Page[M], num_sent: int, filters: Sequence[str]) -> str:
    """What leads to the rest after `num_sent` messages of a page; empty if that was all."""
    if num_sent == len(page.messages) and not page.has_more:
        return ""
    token = {"after": page.seqs[num_sent - 1], "of": _fingerprint(filters)}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode()


def start_after(token: str, filters: Sequence[str]) -> int:
    """The event number that a page begins after. Raises InvalidArgument for a foreign token."""
    if not token:
        return 0
    try:
        content = json.loads(base64.urlsafe_b64decode(token))
        after, of = int(content["after"]), content["of"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            f"page_token {token[:80]!r} is none of ours; send next_page_token as it came"
        ) from error
    if of != _fingerprint(filters):
        raise InvalidArgument("page_token belongs to another listing; begin without one")
    return after


def page_limit(asked: int, most: int) -> int:
    """`page_size` as asked, with 0 as the default, and never more than `most`."""
    return min(asked or DEFAULT_PAGE, most)


def _fingerprint(filters: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(filters)).encode()).hexdigest()[:16]
