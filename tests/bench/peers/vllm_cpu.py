"""vLLM on the CPU: continuous batching with prefix caching, log-probabilities of sampled tokens."""

import os
import time
from typing import Any

from orders import serve

ENGINES: dict[str, Any] = {}


def load(folder: str, dtype: str, threads: int) -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM

    ENGINES["llm"] = LLM(model=folder, dtype=dtype, max_num_seqs=64, seed=0)


def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    """So many requests in flight: the engine is stepped, and each that ends is followed by one."""
    from vllm import SamplingParams

    engine = ENGINES["llm"].llm_engine
    engine.reset_prefix_cache()
    params = SamplingParams(
        n=samples, temperature=1.0, max_tokens=max_tokens, ignore_eos=True, logprobs=0
    )
    waiting = list(enumerate(prompts))[::-1]
    begun_s: dict[str, float] = {}
    first_token_s: list[float] = []
    num_tokens, running = 0, 0
    started_s = time.perf_counter()
    while waiting or running:
        while waiting and running < concurrency:
            index, ids = waiting.pop()
            begun_s[str(index)] = time.perf_counter()
            engine.add_request(str(index), {"prompt_token_ids": ids}, params)
            running += 1
        for output in engine.step():
            if output.request_id in begun_s and any(o.token_ids for o in output.outputs):
                first_token_s.append(time.perf_counter() - begun_s.pop(output.request_id))
            if output.finished:
                running -= 1
                num_tokens += sum(len(o.token_ids) for o in output.outputs)
    seconds = time.perf_counter() - started_s
    return {"seconds": seconds, "tokens": num_tokens, "first_token_s": first_token_s}


if __name__ == "__main__":
    serve(load, generate)
