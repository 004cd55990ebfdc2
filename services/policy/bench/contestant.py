"""Our engine by itself as a contestant of `attune bench`; orders.py says what it is asked."""

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import load
from models.preprocessing.encoded_prompt import EncodedPrompt
from services.policy.bench.orders import answer_orders
from services.policy.bench.roofline import measure_roofline
from services.policy.engine.engine import Engine
from services.policy.engine.limits import EngineLimits
from services.policy.engine.native.packed import Precision
from services.policy.engine.placement import Placement
from services.policy.engine.request import Event, Group, Job, OutputMode, Sample, Sampling
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


@dataclass(slots=True)
class _Answered:
    """A job and what came of it."""

    job: Job
    samples: list[Sample] = field(default_factory=list)


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
        """Text of full length."""
        groups = [
            self._group(ids, Sampling(max_tokens, seed, ignore_eos=True), samples)
            for seed, ids in enumerate(prompts)
        ]
        return self._answer(groups, concurrency)

    def draw(
        self, prompts: list[list[int]], guidance_scale: float, concurrency: int
    ) -> dict[str, Any]:
        """A picture each; the end that follows its codes is not counted."""
        assert self._served is not None
        length = self._served.tokens_per_image
        sampling = Sampling(length, 0, guidance_scale=guidance_scale, output=OutputMode.IMAGE)
        groups = [
            self._group(ids, replace(sampling, seed=seed), 1) for seed, ids in enumerate(prompts)
        ]
        return self._answer(groups, concurrency, num_uncounted=1)

    def _group(self, ids: list[int], sampling: Sampling, samples: int) -> Group:
        assert self._served is not None
        nothing = self._served.preprocessor.media_arrays(())
        return Group(0, EncodedPrompt(np.array(ids), nothing, ()), sampling, samples)

    def _answer(
        self, groups: Sequence[Group], concurrency: int, num_uncounted: int = 0
    ) -> dict[str, Any]:
        """Prefixes are shared within the order, and not with earlier ones."""
        assert self._engine is not None
        assert self._served is not None
        self._engine.drop_version(self._served.version)
        done: queue.SimpleQueue[_Answered] = queue.SimpleQueue()
        waiting, answered = list(groups)[::-1], list[_Answered]()
        started_s = time.perf_counter()
        for number in range(len(groups) + concurrency):
            if number >= concurrency and len(answered) < len(groups):
                answered.append(done.get(timeout=_DEADLINE_S))
            if waiting:
                self._engine.submit(self._job(waiting.pop(), done))
        return _result(time.perf_counter() - started_s, answered, num_uncounted)

    def _job(self, group: Group, done: "queue.SimpleQueue[_Answered]") -> Job:
        assert self._served is not None

        def sink(events: list[Event]) -> None:
            answered.samples += [event for event in events if isinstance(event, Sample)]
            if job.num_unfinished == 0:
                done.put(answered)

        job = Job(str(group.sampling.seed), self._served, (group,), sink)
        answered = _Answered(job)
        return job


def _result(
    seconds: float, answered: Sequence[_Answered], num_uncounted: int = 0
) -> dict[str, Any]:
    """`num_uncounted` tokens of each sample are not."""
    samples = [sample for each in answered for sample in each.samples]
    num_tokens = sum(len(sample.token_ids_T) - num_uncounted for sample in samples)
    clocks = [each.job.clock for each in answered]
    return {
        "seconds": seconds,
        "tokens": num_tokens,
        "mean_logprob": sum(float(s.logprobs_T.sum()) for s in samples) / num_tokens,
        "first_token_s": [(clock.first_token_s or 0) - clock.submitted_s for clock in clocks],
    }


def main() -> None:
    contestant = Contestant()
    answer_orders(
        {
            "load": contestant.load,
            "generate": contestant.generate,
            "draw": contestant.draw,
            "roofline": measure_roofline,
        }
    )


if __name__ == "__main__":
    main()
