"""transformers' continuous batching, with prefix caching: what `generate_batch` is made of.

A manager lives through all orders, so that requests can follow one another.
"""

from typing import Any

import torch
from orders import Tally, serve
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.generation import ContinuousBatchingConfig

_PAGE_TOKENS, _CACHE_TOKENS, _STEP_TOKENS = 32, 32_768, 2048
MODELS: dict[str, Any] = {}
MANAGERS: dict[int, Any] = {}


def load(folder: str, dtype: str, threads: int) -> None:
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    MODELS["model"] = model.eval()


@torch.inference_mode()
def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    """A request has as many answers as its manager makes of each."""
    manager = _manager(samples)
    waiting, running, tally = prompts[::-1], 0, Tally()
    while waiting or running:
        while waiting and running <= (concurrency - 1) * samples:
            manager.add_request(
                waiting.pop(), max_new_tokens=max_tokens, eos_token_id=-1, record_timestamps=True
            )
            running += samples
        answer = manager.get_result(timeout=120)
        if answer is None or answer.error:
            raise RuntimeError(f"no answer: {answer and answer.error}")
        running -= 1
        tally.add(len(answer.generated_tokens), answer.logprobs)
        tally.add_first_token(answer.timestamps[0] - answer.created_time)
    return tally.result()


def _manager(samples: int) -> Any:
    """Of `samples` answers to each request; one runs at a time."""
    if samples not in MANAGERS:
        for other in [*MANAGERS]:
            MANAGERS.pop(other).stop(block=True)
        sampling = GenerationConfig(
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            num_return_sequences=samples, eos_token_id=-1, pad_token_id=0,
        )  # fmt: skip
        batching = ContinuousBatchingConfig(
            page_size=_PAGE_TOKENS,
            num_blocks=_CACHE_TOKENS // _PAGE_TOKENS,
            max_batch_tokens=_STEP_TOKENS,
            return_logprobs=True,
        )
        manager = MODELS["model"].init_continuous_batching(sampling, batching)
        manager.start()
        MANAGERS[samples] = manager
    return MANAGERS[samples]


if __name__ == "__main__":
    serve(load, generate)
    for manager in MANAGERS.values():  # its thread would keep this process
        manager.stop(block=True, hard_stop=True)
