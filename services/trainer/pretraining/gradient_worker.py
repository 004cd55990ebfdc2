"""A process that computes one share of each step's gradient, and the pretraining run's side of it.

The run sends a line of JSON per step and gets one back when the gradient lies in the shared file.
`python -m services.trainer.pretraining.gradient_worker FOLDER TOKENIZER RANK`
"""

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import Checkpoint, preprocessing_of
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.learning import freeze_untrained
from services.trainer.pretraining.shared_weights import SharedWeights
from services.trainer.pretraining.step_losses import StepLosses

_CONFIG, _WEIGHTS = "config.json", "weights"
_STEP_DEADLINE_S = 300.0
_END_DEADLINE_S = 10.0


class GradientWorker:
    """The run's side. `start` and `finish` alternate; a worker that fails raises RuntimeError."""

    def __init__(self, folder: Path, tokenizer: Path, shared: SharedWeights, rank: int) -> None:
        """`folder` holds what `share` has put there."""
        command = [sys.executable, "-m", __name__, str(folder), str(tokenizer), str(rank)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._shared = shared
        self._rank = rank

    def start(self, step: int, wrong_answers: float) -> None:
        """Asks for the share of a step."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(
                json.dumps({"step": step, "wrong_answers": wrong_answers}) + "\n"
            )
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failure() from error

    def finish(self) -> dict[str, float]:
        """Adds its gradient to the model's; returns the losses of its families."""
        stdout = self._process.stdout
        assert stdout is not None
        is_ready, _, _ = select.select([stdout], [], [], _STEP_DEADLINE_S)
        line = stdout.readline() if is_ready else ""
        if not line:
            raise self._failure()
        losses: dict[str, float] = json.loads(line)
        self._shared.add_gradient(self._rank)
        return losses

    def close(self) -> None:
        """Ends the process."""
        try:
            self._process.communicate(timeout=_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _failure(self) -> RuntimeError:
        self._process.kill()
        code = self._process.wait()
        return RuntimeError(f"a process of the pretraining has ended or hangs (exit code {code})")


def share(folder: Path, config: PretrainConfig, model: OmniModel) -> SharedWeights:
    """Puts into `folder` what workers read: the configuration and the model's parameters."""
    (folder / _CONFIG).write_text(config.model_dump_json())
    shared = SharedWeights(folder / _WEIGHTS, model, config.processes - 1)
    shared.publish()
    return shared


def main(arguments: list[str]) -> None:
    """Serves steps until its input ends."""
    folder, tokenizer_path, rank = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    config = PretrainConfig.model_validate_json((folder / _CONFIG).read_text())
    torch.set_num_threads(config.threads)
    preprocessor = Preprocessor(preprocessing_of(config.model), Tokenizer.load(tokenizer_path))
    model = OmniModel(config.model)
    freeze_untrained(model)
    shared = SharedWeights(folder / _WEIGHTS, model, config.processes - 1)
    shared.attach()
    losses = StepLosses(config, Checkpoint(model, preprocessor), rank)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that is printed can get between the replies
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        found = losses.backward(asked["step"], asked["wrong_answers"])
        shared.write_gradient(rank)
        replies.write(json.dumps(found) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
