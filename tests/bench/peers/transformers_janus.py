"""transformers' Janus drawing under guidance, in batches of as many pictures as run at once."""

from typing import Any

import torch
from orders import Tally, batches, serve
from torch import Tensor
from transformers import JanusForConditionalGeneration
from transformers.generation.logits_process import ClassifierFreeGuidanceLogitsProcessor

MODELS: dict[str, Any] = {}


class KeepLogprobs(ClassifierFreeGuidanceLogitsProcessor):  # type: ignore[misc]
    """Guides as transformers does by itself, and keeps the distributions of each step."""

    def __init__(self, guidance_scale: float) -> None:
        super().__init__(guidance_scale)
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.logprobs.append(super().__call__(input_ids, scores).float().log_softmax(-1))
        return self.logprobs[-1]  # the same distribution


def load(folder: str, dtype: str, threads: int) -> None:
    torch.set_num_threads(threads)
    model = JanusForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype))
    MODELS["model"] = model.eval()


@torch.inference_mode()
def draw(prompts: list[list[int]], guidance_scale: float, concurrency: int) -> dict[str, Any]:
    """All prompts of an order end with begin_of_image."""
    model = MODELS["model"]
    model.generation_config.generation_kwargs = {"boi_token_id": prompts[0][-1]}
    tally = Tally()
    for batch in batches(prompts, concurrency):
        ids_BL = torch.tensor(batch)
        keep = KeepLogprobs(guidance_scale)
        codes_BT = model.generate(
            ids_BL,
            attention_mask=torch.ones_like(ids_BL),
            generation_mode="image",
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            guidance_scale=1.0,  # `keep` guides
            logits_processor=[keep],
        )
        logprobs_BTV = torch.stack(keep.logprobs, dim=1)
        logprobs_BT = logprobs_BTV.gather(2, codes_BT[..., None])[..., 0]
        tally.add(codes_BT.numel(), logprobs_BT.flatten().tolist())
    return tally.result()


if __name__ == "__main__":
    serve(load, draw)
