"""`python -m services.trainer.pretraining --recipe deploy/recipes/pretrain.toml --out FOLDER`."""

import argparse
import time
from pathlib import Path

from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.stage import pretrain


def main() -> None:
    """Trains, or continues the run in `--out`, and prints one line per report."""
    parser = argparse.ArgumentParser(description="Make the base checkpoint from the default world.")
    parser.add_argument("--recipe", type=Path, required=True, help="TOML with a [pretrain] table")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--threads", type=int, help="instead of the recipe's")
    arguments = parser.parse_args()
    config = PretrainConfig.from_toml(arguments.recipe)
    if arguments.threads:
        config = config.model_copy(update={"threads": arguments.threads})
    started = time.monotonic()

    def report(step: int, metrics: dict[str, float]) -> None:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"{time.monotonic() - started:7.1f} s  step {step:6d}  {figures}", flush=True)

    print(pretrain(config, arguments.out, report))


if __name__ == "__main__":
    main()
