"""Our engine as a contestant of `attune bench generate`: orders and results are lines of JSON.

    {"do": "load", "folder": ..., "dtype": "float32", "threads": 2}      -> {"ready": "…"}
    {"do": "generate", "prompts": [[ids]], "samples": 1, "max_tokens": 128, "concurrency": 8}
        -> {"seconds": …, "tokens": …, "first_token_s": […]}
    {"do": "roofline", "threads": 2}                                     -> see roofline.py

A closed loop: so many requests run at once, and each that ends is followed by the next. Answers are
sampled at temperature 1 to their full length, with the log-probability of each token.
"""

import json
import queue
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import load
from models.preprocessing.encoded_prompt import EncodedPrompt
from services.policy.bench.roofline import measure_roofline
from services.policy.engine.engine import Engine
from services.policy.engine.limits import EngineLimits
from services.policy.engine.native.packed import Precision
from services.policy.engine.placement import Placement
from services.policy.engine.request import Event, Group, Job, Sample, Sampling
from services.policy.engine.served_model import ServedModel, served_model
from services.policy.engine.step_result import StepResult

_DEADLINE_S = 600
_PRECISIONS = {"float32": Precision.FLOAT32, "bfloat16": Precision.BFLOAT16}


class _Silent:
    """An observer of nothing."""

    def on_step(self, duration_s: float, result: StepResult) -> None: ...
    def on_first_token(self, job: Job) -> None: ...
    def on_sample(self, job: Job, sample: Sample) -> None: ...
    def on_error(self, error: Exception) -> None:
        raise error


class Contestant:
    """Runs orders one after the other."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._served: ServedModel | None = None

    def load(self, folder: str, dtype: str, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        if self._engine is not None:
            self._engine.stop()
        self._served = served_model(
            folder, load(Path(folder)), Placement(precision=_PRECISIONS[dtype])
        )
        self._engine = Engine(EngineLimits(max_drafted_rows=0), _Silent())
        self._engine.start()
        return {"ready": "attune"}

    def generate(
        self, prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
    ) -> dict[str, Any]:
        """Prefixes are shared within the order, and not with earlier ones."""
        assert self._engine is not None
        assert self._served is not None
        self._engine.drop_version(self._served.version)
        done: queue.SimpleQueue[Job] = queue.SimpleQueue()
        waiting = list(enumerate(prompts))[::-1]
        first: list[float] = []
        started_s = time.perf_counter()
        for number in range(len(prompts) + concurrency):
            if number >= concurrency:
                clock = done.get(timeout=_DEADLINE_S).clock
                first.append((clock.first_token_s or 0) - clock.submitted_s)
            if waiting:
                index, ids = waiting.pop()
                self._engine.submit(self._job(index, ids, samples, max_tokens, done))
        seconds = time.perf_counter() - started_s
        return {
            "seconds": seconds,
            "tokens": len(prompts) * samples * max_tokens,
            "first_token_s": first,
        }

    def _job(
        self,
        index: int,
        ids: list[int],
        samples: int,
        max_tokens: int,
        done: "queue.SimpleQueue[Job]",
    ) -> Job:
        assert self._served is not None
        nothing = self._served.preprocessor.media_arrays(())
        prompt = EncodedPrompt(np.array(ids), nothing, ())
        sampling = Sampling(max_tokens=max_tokens, seed=index, ignore_eos=True)

        def sink(events: list[Event]) -> None:
            if job.num_unfinished == 0:
                done.put(job)

        group = Group(0, prompt, sampling, samples)
        job = Job(str(index), self._served, (group,), sink)
        return job


def main() -> None:
    contestant = Contestant()
    for line in sys.stdin:
        order = json.loads(line)
        match order.pop("do"):
            case "load":
                result = contestant.load(**order)
            case "generate":
                result = contestant.generate(**order)
            case "roofline":
                result = measure_roofline(**order)
            case _:
                break
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
