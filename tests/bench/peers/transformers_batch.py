"""transformers' `generate`, in batches of as many prompts as run at once.

`transformers_batch.py [compiled]`: with torch.compile over a cache of fixed size.
"""

import sys
from typing import Any

import torch
from orders import Tally, batches, serve
from torch import Tensor
from transformers import AutoModelForCausalLM, CompileConfig, LogitsProcessor

MODELS: dict[str, Any] = {}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compiled": {
        "cache_implementation": "static",
        "compile_config": CompileConfig(mode="default", fullgraph=False, dynamic=None),
    },
}
SETTING = SETTINGS[sys.argv[1] if len(sys.argv) > 1 else "plain"]


class KeepLogprobs(LogitsProcessor):  # type: ignore[misc]
    """Sums the log-probabilities of what was drawn, without keeping logits of all steps."""

    def __init__(self) -> None:
        self.drawn: list[Tensor] = []
        self._last_BV: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.see(input_ids)
        self._last_BV = scores.log_softmax(-1)
        return self._last_BV  # the same distribution

    def see(self, ids_BL: Tensor) -> None:
        """The last ids were drawn from the scores before."""
        if self._last_BV is not None:
            self.drawn.append(self._last_BV.gather(1, ids_BL[:, -1:])[:, 0])


def load(folder: str, dtype: str, threads: int) -> None:
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    if "compile_config" in SETTING:
        SETTING["compile_config"]._compile_all_devices = True  # by itself it compiles on GPUs only
    MODELS["model"] = model


@torch.inference_mode()
def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    tally = Tally()
    for batch in batches(prompts, concurrency):
        ids_BL = torch.tensor(batch)
        keep = KeepLogprobs()
        out_BL = MODELS["model"].generate(
            ids_BL,
            attention_mask=torch.ones_like(ids_BL),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            min_new_tokens=max_tokens,
            max_new_tokens=max_tokens,
            num_return_sequences=samples,
            pad_token_id=0,
            logits_processor=[keep],
            **SETTING,
        )
        keep.see(out_BL)
        tally.add(out_BL[:, ids_BL.shape[1] :].numel(), torch.stack(keep.drawn).flatten().tolist())
    return tally.result()


if __name__ == "__main__":
    serve(load, generate)
