"""Speed of the engine in-process: `python -m tests.unit.policy.bench_engine [--threads 2]`.

A rollout of 32 prompts × 8 samples of the shipped model's shape (random weights), one job;
then single requests at concurrency 1, 8 and 64. Best of three.
"""

import argparse
import time

import torch

from models.checkpoint import Checkpoint
from models.config import OmniConfig
from models.omni import OmniModel
from models.preprocessing.preprocessor_config import PreprocessorConfig
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.policy.engine.engine import Engine
from services.policy.engine.request import Group, OutputMode
from services.policy.engine.served_model import ServedModel, served_model
from tests.unit.policy.tiny_policy import generate, make_group, running_engine

TEXT_TOKENS, IMAGE_TOKENS = 48, 65


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    served = _served()
    num_parameters = sum(p.numel() for p in served.model.parameters())
    print(f"{num_parameters / 1e6:.2f} M parameters, {torch.get_num_threads()} threads")
    with running_engine() as engine:
        for name, every, settings in (
            ("text (picture in)", 0, {}),
            ("image", 1, {}),
            ("3 text : 1 image", 4, {}),
            ("3 text : 1 image, top-p 0.9", 4, {"top_p": 0.9}),
            ("image, guided", 1, {"guidance_scale": 3.0}),
        ):
            groups = [
                _group(served, i, bool(every) and i % every == 0, settings) for i in range(32)
            ]
            _report(f"rollout, {name}", engine, served, groups)
        for concurrency in (1, 8, 64):
            singles = [
                make_group(served, "what?", index=i, max_tokens=64, ignore_eos=True)
                for i in range(concurrency)
            ]
            _report(f"requests, {concurrency} at once", engine, served, singles)


def _served() -> ServedModel:
    tokenizer = Tokenizer.train([f"word{i} shape{i * i}" for i in range(2000)], vocab_size=512)
    config = OmniConfig()
    assert tokenizer.vocab_size == config.decoder.vocab_size
    model = OmniModel(config)
    return served_model("bench", Checkpoint(model, Preprocessor(PreprocessorConfig(), tokenizer)))


def _group(served: ServedModel, index: int, is_image: bool, settings: dict[str, object]) -> Group:
    return make_group(
        served,
        "what shape is left of the red one?",
        picture_seed=None if is_image else index,
        num_samples=8,
        index=index,
        max_tokens=IMAGE_TOKENS if is_image else TEXT_TOKENS,
        ignore_eos=not is_image,
        output=OutputMode.IMAGE if is_image else OutputMode.TEXT,
        **settings,
    )


def _report(
    name: str, engine: Engine, served: ServedModel, groups: list[Group], **job: object
) -> None:
    rates = []
    for _ in range(3):
        started_s = time.perf_counter()
        samples = generate(engine, served, groups, **job)
        num_tokens = sum(len(sample.token_ids_T) for sample in samples)
        rates.append(num_tokens / (time.perf_counter() - started_s))
    print(f"{name:40} {max(rates):8.0f} tokens/s")


if __name__ == "__main__":
    main()
