"""vLLM on the CPU: continuous batching with prefix caching, compiled by inductor.

`vllm_cpu.py [SETTING]`: how it is given threads; several settings can be contestants of one run.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from orders import Tally, serve

_LIBRARIES = Path(sys.prefix) / "lib"
# What vLLM gives its workers where it preloads Intel's OpenMP: threads sleep soon after their work.
_INTEL = {
    "LD_PRELOAD": str(_LIBRARIES / "libiomp5.so"),
    "KMP_BLOCKTIME": "5",
    "KMP_TPAUSE": "0",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
SETTINGS: dict[str, dict[str, str]] = {
    "intel": _INTEL,
    "intel-pinned": {**_INTEL, "KMP_AFFINITY": "granularity=fine,compact"},
    "gnu": {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    "one-thread": {**_INTEL, "OMP_NUM_THREADS": "1"},
    # Its own default: a process for the scheduler, to which it leaves a core of its own.
    "processes": {"VLLM_CPU_OMP_THREADS_BIND": "auto"},
    "processes-all": {"VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}"},
}
_IS_SET = "ATTUNE_PEER_IS_SET"
ENGINES: dict[str, Any] = {}


def load(folder: str, dtype: str, threads: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    from vllm import LLM

    ENGINES["llm"] = LLM(model=folder, dtype=dtype, max_num_seqs=64, seed=0)


def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    """So many requests in flight: the engine is stepped, and each that ends is followed by one."""
    engine = ENGINES["llm"].llm_engine
    engine.reset_prefix_cache()
    params = _sampling(samples, max_tokens)
    waiting = list(enumerate(prompts))[::-1]
    begun_s: dict[str, float] = {}
    running, tally = 0, Tally()
    while waiting or running:
        while waiting and running < concurrency:
            index, ids = waiting.pop()
            begun_s[str(index)] = time.perf_counter()
            engine.add_request(str(index), {"prompt_token_ids": ids}, params)
            running += 1
        for output in engine.step():
            _count(output, tally)
            if output.request_id in begun_s:
                tally.add_first_token(time.perf_counter() - begun_s.pop(output.request_id))
            running -= output.finished
    return tally.result()


def _sampling(samples: int, max_tokens: int) -> Any:
    """Ids and log-probabilities alone, each once: no text, and no list that grows."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=samples,
        temperature=1.0,
        max_tokens=max_tokens,
        ignore_eos=True,
        logprobs=0,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )


def _count(output: Any, tally: Tally) -> None:
    for answer in output.outputs:
        found = zip(answer.token_ids, answer.logprobs, strict=True)
        tally.add(len(answer.token_ids), [of_id[token_id].logprob for token_id, of_id in found])


def _environment(setting: str) -> dict[str, str]:
    """Of the setting, with a faster allocator where make.sh found one, as vLLM advises."""
    wanted = {"VLLM_CPU_KVCACHE_SPACE": "2", _IS_SET: "1", **SETTINGS[setting]}
    preloaded = [*map(str, _LIBRARIES.glob("libtcmalloc_minimal.so.4"))]
    preloaded += [wanted["LD_PRELOAD"]] if "LD_PRELOAD" in wanted else []
    return {**os.environ, **wanted, "LD_PRELOAD": ":".join(preloaded)}


if __name__ == "__main__":
    if _IS_SET not in os.environ:  # what is preloaded must be known when a process starts
        setting = sys.argv[1] if len(sys.argv) > 1 else "intel"
        os.execve(sys.executable, [sys.executable, *sys.argv], _environment(setting))
    serve(load, generate)
