"""The policy service as a contestant of `attune bench`, over gRPC; orders.py says what it is asked.

The service is a process of its own on a free port of 127.0.0.1; this one is its client, and asks by
Rollout, as the trainer does: one prompt in a call, so many calls at once.
"""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import grpc

from models.checkpoint import read_config
from protos.v1 import content_pb2, trajectory_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from protos.v1.versions_pb2 import ModelRef
from services.common.client import open_aio_channel
from services.policy.bench.orders import answer_orders
from services.policy.service import BASE

_STOP_TIMEOUT_S = 15


class ServedContestant:
    """Holds one service at a time."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._service = ExitStack()
        self._channel: grpc.aio.Channel | None = None
        self._fingerprint = ""

    def load(self, folder: str, dtype: str, threads: int) -> dict[str, Any]:
        self.close()
        options = {"base-checkpoint": folder, "cpu-precision": dtype, "threads": str(threads)}
        address = self._service.enter_context(_running_service(options))
        self._channel = self._runner.run(_opened(address))
        self._fingerprint = read_config(Path(folder))[1].fingerprint
        return {"ready": address}

    def generate(
        self, prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
    ) -> dict[str, Any]:
        """Text of full length. No first tokens are seen: a group comes whole."""
        requests = [
            self._request(seed, ids, samples, max_tokens) for seed, ids in enumerate(prompts)
        ]
        started_s = time.perf_counter()
        groups = self._runner.run(self._answers(requests, concurrency))
        seconds = time.perf_counter() - started_s
        written = [sample for group in groups for sample in group.samples]
        num_tokens = sum(len(sample.token_ids) for sample in written)
        logprob = sum(sum(sample.logprobs) for sample in written)
        return {"seconds": seconds, "tokens": num_tokens, "mean_logprob": logprob / num_tokens}

    def close(self) -> None:
        """Ends the service, if one runs."""
        if self._channel is not None:
            self._runner.run(self._channel.close())
            self._channel = None
        self._service.close()

    async def _answers(
        self, requests: Sequence[pb.RolloutRequest], concurrency: int
    ) -> list[trajectory_pb2.Group]:
        assert self._channel is not None
        stub = PolicyGeneratorStub(self._channel)
        waiting, groups = iter(requests), list[trajectory_pb2.Group]()

        async def follow() -> None:
            for request in waiting:
                responses = [response async for response in stub.Rollout(request)]
                groups.extend(each.group for each in responses if each.HasField("group"))

        await asyncio.gather(*(follow() for _ in range(concurrency)))
        return groups

    def _request(
        self, seed: int, ids: list[int], samples: int, max_tokens: int
    ) -> pb.RolloutRequest:
        """The service puts bos before the ids, so the first of them is left out."""
        tokens = content_pb2.Tokens(ids=ids[1:], preprocessing_fingerprint=self._fingerprint)
        message = content_pb2.Message(
            role=content_pb2.ROLE_USER, parts=[content_pb2.Part(tokens=tokens)]
        )
        return pb.RolloutRequest(
            model=ModelRef(alias=BASE),
            prompts=[pb.RolloutPrompt(prompt=content_pb2.Prompt(messages=[message]))],
            samples_per_prompt=samples,
            sampling=trajectory_pb2.SamplingParams(
                temperature=1.0, max_tokens=max_tokens, seed=seed, ignore_eos=True
            ),
        )


async def _opened(address: str) -> grpc.aio.Channel:
    """On the loop that uses it."""
    return open_aio_channel(address)


@contextmanager
def _running_service(options: dict[str, str]) -> Iterator[str]:
    """Its address; what it logs goes on to standard error."""
    with TemporaryDirectory(prefix="attune-bench-") as home:
        options = {"home": home, "port": "0", "metrics-port": "0", **options}
        command = [sys.executable, "-m", "services.policy"]
        process = subprocess.Popen(
            [*command, *(word for name in options for word in (f"--{name}", options[name]))],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield _address_of(process)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address_of(process: "subprocess.Popen[str]") -> str:
    """Where it says that it listens. Raises RuntimeError where it ends before."""
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        if found := re.search(r'"address": "(.+?)"', line):
            drain = Thread(target=shutil.copyfileobj, args=(process.stderr, sys.stderr))
            drain.daemon = True
            drain.start()
            return found[1]
    raise RuntimeError("the policy service ended before it listened; its log is above")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the service must end as well
    with asyncio.Runner() as runner:
        contestant = ServedContestant(runner)
        try:
            answer_orders({"load": contestant.load, "generate": contestant.generate})
        finally:
            contestant.close()


if __name__ == "__main__":
    main()
