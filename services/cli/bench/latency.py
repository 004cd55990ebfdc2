"""Time to the first token of prompts with media, and the memory that the policy takes for them."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from statistics import median
from threading import Event, Thread
from uuid import uuid4

import numpy as np
import psutil

from models.preprocessing.conversation import Medium, Role, Text, Turn
from protos.v1 import content_pb2, media_pb2, policy_generator_pb2, trajectory_pb2, versions_pb2
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.cli.bench.cases import Case
from services.common.codecs import medium_to_proto, prompt_to_proto

_TEXT = "what is there?"
_DEADLINE_S = 120.0
_SAMPLE_EVERY_S = 0.005


@dataclass(slots=True)
class Timings:
    """Milliseconds to the first token of one case, one per round."""

    case: Case
    prompt_tokens: int = 0
    cold_ms: list[float] = field(default_factory=list)
    cached_ms: list[float] = field(default_factory=list)

    @property
    def cold(self) -> float:
        return median(self.cold_ms)

    @property
    def cached(self) -> float | None:
        """The same medium again, named by its hash; None for text."""
        return median(self.cached_ms) if self.cached_ms else None


def time_first_tokens(
    policy: PolicyGeneratorStub,
    model: str,
    cases: Sequence[Case],
    rounds: int,
    on_round: Callable[[], None],
) -> list[Timings]:
    """Cases alternate; a round before the first one warms up and is not counted."""
    timings = [Timings(case) for case in cases]
    rng = np.random.default_rng()
    for number in range(rounds + 1):
        for timing in timings:
            medium = timing.case.make(rng) if timing.case.make else None
            cold_ms, timing.prompt_tokens = _first_token(policy, model, _prompt(medium))
            cached_ms = None
            if medium is not None:
                cached_ms, _ = _first_token(policy, model, _prompt(medium, by_hash=True))
            if number > 0:
                timing.cold_ms.append(cold_ms)
                timing.cached_ms += [cached_ms] if cached_ms is not None else []
        if number > 0:
            on_round()
    return timings


def peak_growth_mib(
    policy: PolicyGeneratorStub, process: psutil.Process, model: str, case: Case, at_once: int
) -> float:
    """How far the policy's resident memory grows while so many such prompts are answered."""
    rng = np.random.default_rng()
    assert case.make is not None
    prompts = [_prompt(case.make(rng)) for _ in range(at_once)]
    before = process.memory_info().rss
    with _peak_of(process) as peak, ThreadPoolExecutor(at_once) as threads:
        list(threads.map(lambda prompt: _first_token(policy, model, prompt), prompts))
    return (max(peak) - before) / 2**20


def _prompt(medium: Medium | None, by_hash: bool = False) -> content_pb2.Prompt:
    prompt = prompt_to_proto((Turn(Role.USER, (Text(_TEXT),)),))
    if medium is not None:
        wire = medium_to_proto(medium)
        if by_hash:
            digest = sha256(medium.data).hexdigest()
            wire = media_pb2.Media(modality=wire.modality, sha256=digest)
        prompt.messages[0].parts.insert(0, content_pb2.Part(media=wire))
    return prompt


def _first_token(
    policy: PolicyGeneratorStub, model: str, prompt: content_pb2.Prompt
) -> tuple[float, int]:
    """(milliseconds, tokens of the prompt)."""
    request = policy_generator_pb2.GenerateRequest(
        request_id=f"bench-{uuid4().hex}",
        model=versions_pb2.ModelRef(alias=model),
        prompt=prompt,
        sampling=trajectory_pb2.SamplingParams(temperature=1.0, max_tokens=1),
        stream_deltas=True,
    )
    start_s = time.perf_counter()
    first_ms, num_tokens = float("nan"), 0
    for event in policy.Generate(request, timeout=_DEADLINE_S):
        kind = event.WhichOneof("event")
        if kind == "started":
            num_tokens = event.started.prompt_tokens
        elif kind in ("delta", "finished") and np.isnan(first_ms):
            first_ms = (time.perf_counter() - start_s) * 1000
    return first_ms, num_tokens


@contextmanager
def _peak_of(process: psutil.Process) -> Iterator[list[int]]:
    """Resident bytes, sampled until the context ends."""
    seen, is_over = [process.memory_info().rss], Event()

    def watch() -> None:
        while not is_over.wait(_SAMPLE_EVERY_S):
            seen.append(process.memory_info().rss)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()
