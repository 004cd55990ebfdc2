"""transformers' `generate`, in batches of as many prompts as run at once."""

import time
from typing import Any

import torch
from orders import batches, serve
from transformers import AutoModelForCausalLM

MODELS: dict[str, Any] = {}


def load(folder: str, dtype: str, threads: int) -> None:
    torch.set_num_threads(threads)
    MODELS["model"] = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))


@torch.inference_mode()
def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    model = MODELS["model"]
    started_s = time.perf_counter()
    num_tokens = 0
    for batch in batches(prompts, concurrency):
        ids = torch.tensor(batch)
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            min_new_tokens=max_tokens,
            max_new_tokens=max_tokens,
            num_return_sequences=samples,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        new_ids = out.sequences[:, ids.shape[1] :]
        for step, logits in enumerate(out.logits):
            logits.float().log_softmax(-1).gather(1, new_ids[:, step : step + 1])
        num_tokens += new_ids.numel()
    return {"seconds": time.perf_counter() - started_s, "tokens": num_tokens}


if __name__ == "__main__":
    serve(load, generate)
