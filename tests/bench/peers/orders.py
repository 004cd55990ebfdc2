"""What the peers' scripts share: orders in, results out (services/policy/bench/contestant.py)."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def serve(load: Callable[..., None], generate: Callable[..., dict[str, Any]]) -> None:
    """Answers until there are no more; what a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        what = order.pop("do")
        if what == "stop":
            break
        result = {"ready": True}
        if what == "load":
            load(**order)
        else:
            result = generate(**order)
        out.write(json.dumps(result) + "\n")
        out.flush()


def batches(prompts: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Neighbours, so many at once."""
    for start in range(0, len(prompts), size):
        yield prompts[start : start + size]
