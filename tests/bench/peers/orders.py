"""What the peers' scripts share: orders in, results out (services/policy/bench/contestant.py)."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class AbsentError(Exception):
    """The system cannot do what is asked; the message says why, and the others go on."""


def serve(load: Callable[..., None], generate: Callable[..., dict[str, Any]]) -> None:
    """Answers until there are no more; what a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        what = order.pop("do")
        if what == "stop":
            break
        out.write(json.dumps(_loaded(load, order) if what == "load" else generate(**order)) + "\n")
        out.flush()


def _loaded(load: Callable[..., None], order: dict[str, Any]) -> dict[str, Any]:
    try:
        load(**order)
    except AbsentError as error:
        return {"absent": str(error)}
    return {"ready": True}


def batches(prompts: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Neighbours, so many at once."""
    for start in range(0, len(prompts), size):
        yield prompts[start : start + size]


class Tally:
    """Counts what was written; the clock runs from its making to `result`."""

    def __init__(self) -> None:
        self._num_tokens = 0
        self._num_logprobs = 0
        self._logprob_sum = 0.0
        self._first_token_s: list[float] = []
        self._started_s = time.perf_counter()

    def add(self, num_tokens: int, logprobs: Sequence[float]) -> None:
        """Tokens that were sampled, and their log-probabilities."""
        self._num_tokens += num_tokens
        self._num_logprobs += len(logprobs)
        self._logprob_sum += float(sum(logprobs))

    def add_first_token(self, seconds: float) -> None:
        """From when its request was made."""
        self._first_token_s.append(seconds)

    def result(self) -> dict[str, Any]:
        """What an order is answered with. Raises ValueError where a log-probability is missing."""
        seconds = time.perf_counter() - self._started_s
        if self._num_logprobs != self._num_tokens:
            raise ValueError(f"{self._num_tokens} tokens, {self._num_logprobs} log-probabilities")
        return {
            "seconds": seconds,
            "tokens": self._num_tokens,
            "mean_logprob": self._logprob_sum / self._num_tokens,
            "first_token_s": self._first_token_s,
        }
