"""ONNX Runtime GenAI, in batches of as many prompts as run at once; the folder is converted.

It takes 32 rows at most, so 64 at once are two batches, one after the other.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai as og
from orders import AbsentError, Tally, batches, serve

MODELS: dict[str, Any] = {}
_MAX_ROWS = 32  # of a generator; it refuses more
_NO_BFLOAT16 = (
    "ONNX Runtime GenAI has no bfloat16 on the CPU: its builder names BF16 for CUDA and TRT-RTX"
    " alone, and ONNX Runtime has no kernels for the graph (NOT_IMPLEMENTED at Where)"
)


def load(folder: str, dtype: str, threads: int) -> None:
    if dtype != "float32":
        raise AbsentError(_NO_BFLOAT16)
    converted = Path(folder).with_name("genai-fp32")
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    subprocess.run(
        [*builder, "-m", folder, "-o", str(converted), "-p", "fp32", "-e", "cpu"], check=True
    )
    config = og.Config(str(converted))
    options = {"intra_op_num_threads": threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    MODELS["model"] = og.Model(config)


def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    tally = Tally()
    for batch in batches(prompts, min(concurrency, max(1, _MAX_ROWS // samples))):
        rows_BL = np.repeat(np.array(batch, np.int32), samples, axis=0)
        _write(rows_BL, max_tokens, tally)
    return tally.result()


def _write(rows_BL: "np.ndarray[Any, Any]", max_tokens: int, tally: Tally) -> None:
    """All rows to their full length; the likelihood of each draw is read off the logits."""
    params = og.GeneratorParams(MODELS["model"])
    length = rows_BL.shape[1] + max_tokens
    params.set_search_options(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
        batch_size=len(rows_BL), max_length=length, min_length=length,
    )  # fmt: skip
    generator = og.Generator(MODELS["model"], params)
    generator.append_tokens(rows_BL)
    for _ in range(max_tokens):
        logits_BV = np.array(generator.get_logits()[:, -1], np.float32)
        generator.generate_next_token()
        drawn_B = np.asarray(generator.get_next_tokens())
        logits_BV -= logits_BV.max(axis=-1, keepdims=True)
        drawn_logits_B = np.take_along_axis(logits_BV, drawn_B[:, None], axis=-1)[:, 0]
        total_B = np.exp(logits_BV, out=logits_BV).sum(axis=-1)
        tally.add(len(rows_BL), (drawn_logits_B - np.log(total_B)).tolist())


if __name__ == "__main__":
    serve(load, generate)
