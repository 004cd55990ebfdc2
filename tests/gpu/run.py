"""All that needs a GPU, in one command: `python -m tests.gpu.run`. It has not run on a GPU yet.

Runs the tests of this folder, then measures what the device can do, and how near the engine comes:
random decoders of Llama's kind in bfloat16, 1, 8 and 64 requests at once. The floor of a step is
the time to read weights and cache once, or to do its arithmetic, whichever is longer.
Legend: R rows, N pages of a sequence, D width.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from models.checkpoint import Checkpoint
from models.config import DecoderConfig, OmniConfig
from models.omni import OmniModel
from services.policy.engine.executor import FlatStep
from services.policy.engine.limits import EngineLimits
from services.policy.engine.memory import num_pages_in
from services.policy.engine.native.packed import Crew, Precision
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.engine.placement import Placement
from services.policy.engine.served_model import ServedModel, served_model
from tests.unit.policy.tiny_policy import generate, make_group, make_preprocessor, running_engine

DECODERS = {
    "5 M": DecoderConfig(
        vocab_size=512, width=256, num_layers=6, num_heads=4, num_kv_heads=2, head_size=64,
        mlp_width=704,
    ),
    "125 M": DecoderConfig(
        vocab_size=32_000, width=768, num_layers=12, num_heads=12, num_kv_heads=4, head_size=64,
        mlp_width=2048,
    ),
}  # fmt: skip
CONCURRENCIES = (1, 8, 64)
NUM_TOKENS = 256
LIMITS = EngineLimits(cache_bytes=4 << 30, max_drafted_rows=0)


def main() -> int:
    """The exit status of the tests."""
    if not torch.cuda.is_available():
        print("torch sees no CUDA device: nothing was run")
        return 1
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "tests/gpu"], check=False)
    device = Device.measure()
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"copies {device.bytes_per_s / 1e9:.0f} GB/s, bfloat16 {device.flops / 1e12:.0f} TFLOP/s")
    print("\n| model | requests | engine, tokens/s | decoder alone | floor | engine of floor |")
    print("|-|-|-|-|-|-|")
    for name, config in DECODERS.items():
        placement = Placement("cuda", Precision.BFLOAT16)
        served = served_model("bench", random_checkpoint(config), placement)
        for num_rows in CONCURRENCIES:
            engine, alone = engine_speed(served, num_rows), decoder_speed(served, num_rows)
            floor = num_rows / step_floor_s(config, num_rows, device)
            rates = f"{engine:.0f} | {alone:.0f} | {floor:.0f} | {engine / floor:.1%}"
            print(f"| {name} | {num_rows} | {rates} |", flush=True)
    return tests.returncode


@dataclass(frozen=True)
class Device:
    """What it does at best."""

    bytes_per_s: float
    flops: float

    @classmethod
    def measure(cls) -> "Device":
        """A copy of 1 GiB, which reads and writes, and a product of 8192³."""
        source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
        target = torch.empty_like(source)
        square = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        copy_s = best_s(lambda: target.copy_(source))
        product_s = best_s(lambda: square @ square)
        return cls(2 * source.nbytes / copy_s, 2 * 8192**3 / product_s)


def step_floor_s(config: DecoderConfig, num_rows: int, device: Device) -> float:
    """Halfway through the answers; bfloat16."""
    width, size = config.width, config.head_size
    attention = 2 * width * size * (config.num_heads + config.num_kv_heads)
    per_layer = attention + 3 * width * config.mlp_width
    num_weights = config.num_layers * per_layer + config.vocab_size * width
    num_cached = num_rows * NUM_TOKENS / 2 * 2 * config.num_layers * config.num_kv_heads * size
    bytes_s = 2 * (num_weights + num_cached) / device.bytes_per_s
    return max(bytes_s, 2 * num_weights * num_rows / device.flops)


def random_checkpoint(config: DecoderConfig) -> Checkpoint:
    """Encoders are the default ones; texts use the first ids of the vocabulary only."""
    model = OmniModel(OmniConfig(decoder=config))
    return Checkpoint(model, make_preprocessor())


def engine_speed(served: ServedModel, num_rows: int) -> float:
    """Tokens per second of requests that come at once, through the whole engine; best of three."""
    groups = [
        make_group(served, "what?", index=i, max_tokens=NUM_TOKENS, ignore_eos=True)
        for i in range(num_rows)
    ]
    with running_engine(LIMITS) as engine:
        durations = []
        for _ in range(4):  # the first compiles kernels and captures graphs
            started_s = time.perf_counter()
            generate(engine, served, groups)
            durations.append(time.perf_counter() - started_s)
    return num_rows * NUM_TOKENS / min(durations[1:])


@torch.inference_mode()
def decoder_speed(served: ServedModel, num_rows: int) -> float:
    """Tokens per second of the layers alone, at half the answers' length."""
    weights, config = served.weights, served.model.config.decoder
    pages_per_row = config.max_length // PAGE_TOKENS
    num_pages = num_pages_in(LIMITS.cache_bytes, config, weights.element_bytes)
    executor = weights.executor(Crew(1), weights.new_cache(num_pages))
    every_R = np.arange(num_rows)
    step = FlatStep(
        executor.embed(every_R),
        np.full(num_rows, NUM_TOKENS // 2, np.int32),
        every_R.astype(np.int32),
        np.arange(num_rows * pages_per_row, dtype=np.int32).reshape(num_rows, -1),
    )
    return num_rows / best_s(lambda: executor.run(step), count=100)


def best_s(run: Callable[[], object], count: int = 10) -> float:
    """Seconds of one run: the best mean of three series, after two runs to warm up."""
    run(), run()
    means = []
    for _ in range(3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(count):
            run()
        end.record()
        end.synchronize()
        means.append(start.elapsed_time(end) / 1e3 / count)
    return min(means)


if __name__ == "__main__":
    sys.exit(main())
