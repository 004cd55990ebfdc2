"""ONNX Runtime GenAI, in batches of as many prompts as run at once; the folder is converted."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai as og
from orders import batches, serve

MODELS: dict[str, Any] = {}


def load(folder: str, dtype: str, threads: int) -> None:
    precision = {"float32": "fp32", "bfloat16": "bf16"}[dtype]
    converted = Path(folder).with_name(f"genai-{precision}")
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    subprocess.run(
        [*builder, "-m", folder, "-o", str(converted), "-p", precision, "-e", "cpu"], check=True
    )
    config = og.Config(str(converted))
    config.overlay(
        f'{{"model": {{"decoder": {{"session_options": {{"intra_op_num_threads": {threads}}}}}}}}}'
    )
    MODELS["model"] = og.Model(config)


def generate(
    prompts: list[list[int]], samples: int, max_tokens: int, concurrency: int
) -> dict[str, Any]:
    started_s = time.perf_counter()
    num_tokens = 0
    for batch in batches(prompts, concurrency):
        rows = np.repeat(np.array(batch, np.int32), samples, axis=0)
        num_tokens += _batch(rows, max_tokens)
    return {"seconds": time.perf_counter() - started_s, "tokens": num_tokens}


def _batch(rows: "np.ndarray[Any, Any]", max_tokens: int) -> int:
    params = og.GeneratorParams(MODELS["model"])
    length = rows.shape[1] + max_tokens
    params.set_search_options(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
        batch_size=len(rows), max_length=length, min_length=length,
    )  # fmt: skip
    generator = og.Generator(MODELS["model"], params)
    generator.append_tokens(rows)
    for _ in range(max_tokens):
        logits = np.asarray(generator.get_logits(), np.float32)[:, -1]
        generator.generate_next_token()
        drawn = np.asarray(generator.get_next_tokens())
        peak = logits.max(axis=-1, keepdims=True)
        total = np.log(np.exp(logits - peak).sum(axis=-1))
        np.take_along_axis(logits - peak, drawn[:, None], axis=-1)[:, 0] - total
    return len(rows) * max_tokens


if __name__ == "__main__":
    serve(load, generate)
