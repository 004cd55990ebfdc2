"""Log-probabilities of tokens in OpenAI's shape."""

import math
from collections.abc import Iterator
from typing import TypedDict

from protos.v1.policy_generator_pb2 import SampleDelta
from protos.v1.trajectory_pb2 import TopLogprobs

# JSON has no infinity; the value that vLLM sends for it.
_MINUS_INFINITY = -9999.0


class Alternative(TypedDict):
    """A token that might have been sampled."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(Alternative):
    """A token that was sampled."""

    top_logprobs: list[Alternative]


def token_logprobs(delta: SampleDelta) -> list[TokenLogprob]:
    """One entry per text token of a delta; the end of the turn and image tokens have none."""
    return [
        {
            **_alternative(token_id, delta.logprobs[i], token_bytes),
            "top_logprobs": list(_alternatives(delta.top_logprobs[i : i + 1])),
        }
        for i, (token_id, token_bytes) in enumerate(
            zip(delta.token_ids, _bytes(delta), strict=True)
        )
        if token_bytes
    ]


def _bytes(delta: SampleDelta) -> list[bytes]:
    return list(delta.token_bytes) or [text.encode() for text in delta.token_texts]


def _alternatives(top_logprobs: list[TopLogprobs]) -> Iterator[Alternative]:
    for top in top_logprobs:
        known = list(top.token_bytes) or [b""] * len(top.ids)
        for token_id, logprob, token_bytes in zip(top.ids, top.logprobs, known, strict=True):
            yield _alternative(token_id, logprob, token_bytes)


def _alternative(token_id: int, logprob: float, token_bytes: bytes) -> Alternative:
    """A token without text (the end of the turn) is named by its id, as vLLM does."""
    return {
        "token": token_bytes.decode(errors="replace") if token_bytes else f"token_id:{token_id}",
        "logprob": logprob if math.isfinite(logprob) else _MINUS_INFINITY,
        "bytes": list(token_bytes) if token_bytes else None,
    }
