"""Orders of `attune bench` and their results: lines of JSON on standard input and output.

    {"do": "load", "folder": ..., "dtype": "float32", "threads": 2}
        -> {"ready": …}, or {"absent": why this system cannot}
    {"do": "generate", "prompts": [[ids]], "samples": 1, "max_tokens": 128, "concurrency": 8}
    {"do": "draw", "prompts": [[ids]], "guidance_scale": 5.0, "concurrency": 16}
        -> {"seconds": …, "tokens": …, "mean_logprob": …, "first_token_s": […]}
    {"do": "roofline", "threads": 2}  -> see roofline.py

A closed loop: so many requests run at once, and each that ends is followed by the next. Answers are
sampled at temperature 1 to their full length, with the log-probability of each token. A drawing is
the codes of one picture for a prompt that ends with begin_of_image.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any


def answer_orders(handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Until there are no more, or one that nobody handles."""
    for line in sys.stdin:
        order = json.loads(line)
        handler = handlers.get(order.pop("do"))
        if handler is None:
            break
        print(json.dumps(handler(**order)), flush=True)
