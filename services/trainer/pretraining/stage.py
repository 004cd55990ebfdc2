"""The pretraining stage: image tokenizer first, then the model, resumable at every checkpoint.

`out/latest` is always a whole checkpoint, `out/state.safetensors` what resuming needs.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.optim import Optimizer

from models.checkpoint import TOKENIZER, Checkpoint, preprocessing_of, save
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.gradient_worker import GradientWorker, share
from services.trainer.pretraining.language import train_tokenizer
from services.trainer.pretraining.learning import (
    build_optimizers,
    schedule,
    set_learning_rates,
    update,
)
from services.trainer.pretraining.picture_codes import PictureCodesTrainer, round_trip_strict
from services.trainer.pretraining.state import (
    Evaluation,
    Progress,
    load_state,
    read_progress,
    save_state,
)
from services.trainer.pretraining.step_losses import StepLosses
from services.trainer.pretraining.validation import validation_losses, validation_scores

Report = Callable[[int, dict[str, float]], None]

_REPORT_EVERY = 50
_ROUND_TRIP_ITEMS = 500


def pretrain(config: PretrainConfig, folder: Path, report: Report) -> Path:
    """Trains, or continues what `folder` holds, to the end; returns the checkpoint's folder.

    `report(step, metrics)` is called every 50 steps and at each validation. Sets the number of
    intra-op threads. Raises ValueError when the folder belongs to another recipe.
    """
    torch.set_num_threads(config.threads)
    run = PretrainRun(config, folder, report)
    run.train_picture_codes()
    run.train_model()
    return run.finish()


class PretrainRun:
    """One run and its state."""

    def __init__(self, config: PretrainConfig, folder: Path, report: Report) -> None:
        self.config = config
        self.folder = folder
        self.report = report
        folder.mkdir(parents=True, exist_ok=True)
        self.progress = read_progress(folder) or Progress(recipe_digest=config.digest)
        if self.progress.recipe_digest != config.digest:
            raise ValueError(
                f"{folder} was begun by recipe {self.progress.recipe_digest}, this one is"
                f" {config.digest}; choose another folder or the same recipe"
            )
        self.checkpoint = Checkpoint(OmniModel(config.model, config.seed), self._preprocessor())
        self._losses = StepLosses(config, self.checkpoint)
        self._clock = time.monotonic()

    def train_picture_codes(self) -> None:
        """The image tokenizer, up to its last step."""
        settings, progress = self.config.picture_codes, self.progress
        if progress.picture_codes_strict is not None:
            return
        vqmodel = self.checkpoint.model.vqmodel
        trainer = PictureCodesTrainer(self.config, vqmodel)
        modules = {"vqmodel": vqmodel, "usage": trainer.usage}
        if progress.picture_code_steps:
            load_state(self.folder, modules, [trainer.optimizer])
        while progress.picture_code_steps < settings.steps:
            metrics = trainer.step(progress.picture_code_steps)
            progress.picture_code_steps += 1
            if progress.picture_code_steps % _REPORT_EVERY == 0:
                self.report(progress.picture_code_steps, metrics)
            if progress.picture_code_steps % self.config.checkpoint_every == 0:
                self._save_state(modules, [trainer.optimizer])
        strict = round_trip_strict(vqmodel, self.config.level, _ROUND_TRIP_ITEMS)
        self.report(progress.picture_code_steps, {"round_trip_strict": strict})
        progress.picture_codes_strict = strict
        self._save_state({"model": self.checkpoint.model}, [])

    def train_model(self) -> None:
        """The model, until its decay ends."""
        settings, progress = self.config.training, self.progress
        model = self.checkpoint.model
        optimizers = build_optimizers(model, settings)
        load_state(self.folder, {"model": model}, optimizers if progress.model_steps else [])
        with self._workers() as workers:
            while not self._is_done():
                step = progress.model_steps
                factor = schedule(step, settings, progress.decay_from)
                set_learning_rates(optimizers, settings, factor)
                metrics = self._step(step, optimizers, workers)
                progress.model_steps += 1
                if progress.model_steps % _REPORT_EVERY == 0:
                    self.report(progress.model_steps, {**metrics, "learning_rate_factor": factor})
                if progress.model_steps % self.config.validation.every == 0:
                    self._validate()
                self._decide_decay()
                if progress.model_steps % self.config.checkpoint_every == 0:
                    self._save_state({"model": model}, optimizers)
                    save(self.folder / "latest", model, self.checkpoint.preprocessor)

    def finish(self) -> Path:
        """Writes the final checkpoint and training.json; returns the folder."""
        latest = self.folder / "latest"
        save(latest, self.checkpoint.model, self.checkpoint.preprocessor)
        figures = self._touched().model_dump(mode="json") | {
            "num_parameters": sum(p.numel() for p in self.checkpoint.model.parameters()),
            "config": self.config.model_dump(mode="json"),
        }
        (latest / "training.json").write_text(json.dumps(figures, indent=1) + "\n")
        return latest

    def _step(
        self, step: int, optimizers: Sequence[Optimizer], workers: Sequence[GradientWorker]
    ) -> dict[str, float]:
        """One update on items of all families."""
        settings, model = self.config.training, self.checkpoint.model
        wrong_answers = 0.0 if self.progress.decay_from is None else settings.wrong_answers
        for worker in workers:
            worker.start(step, wrong_answers)
        losses = self._losses.backward(step, wrong_answers)
        for worker in workers:
            losses |= worker.finish()
        norm = update(model, optimizers, settings.max_grad_norm)
        return {**{f"train_loss_{f}": loss for f, loss in losses.items()}, "grad_norm": norm}

    @contextmanager
    def _workers(self) -> Iterator[list[GradientWorker]]:
        """The processes that share each step with this one."""
        ranks = range(1, self.config.processes)
        with ExitStack() as stack:
            workers: list[GradientWorker] = []
            if ranks:
                folder = Path(stack.enter_context(TemporaryDirectory(dir=self.folder)))
                shared = share(folder, self.config, self.checkpoint.model)
            for rank in ranks:
                workers.append(GradientWorker(folder, self.folder / TOKENIZER, shared, rank))
                stack.callback(workers[-1].close)
            yield workers

    def _validate(self) -> None:
        settings, level = self.config.validation, self.config.level
        families = list(self.config.mixture(self.progress.model_steps))
        metrics = validation_losses(self.checkpoint, families, level, settings.loss_items)
        if settings.score_items:
            metrics |= validation_scores(self.checkpoint, families, level, settings.score_items)
        progress = self._touched()
        minutes = progress.elapsed_s / 60
        point = Evaluation(step=progress.model_steps, minutes=minutes, metrics=metrics)
        progress.curve.append(point)
        self.report(progress.model_steps, metrics)

    def _decide_decay(self) -> None:
        """Fixes the step at which the learning rate starts to fall, once."""
        settings, progress = self.config.training, self._touched()
        if progress.decay_from is not None:
            return
        if (
            progress.model_steps >= settings.max_stable_steps
            or progress.elapsed_s >= settings.max_stable_minutes * 60
            or is_plateau(
                [point.metrics["loss"] for point in progress.curve],
                settings.plateau_evaluations,
                settings.plateau_delta,
            )
        ):
            progress.decay_from = progress.model_steps

    def _is_done(self) -> bool:
        start = self.progress.decay_from
        return (
            start is not None
            and self.progress.model_steps >= start + self.config.training.decay_steps
        )

    def _touched(self) -> Progress:
        """Progress with the time up to now."""
        now = time.monotonic()
        self.progress.elapsed_s += now - self._clock
        self._clock = now
        return self.progress

    def _save_state(
        self, modules: dict[str, torch.nn.Module], optimizers: Sequence[Optimizer]
    ) -> None:
        save_state(self.folder, self._touched(), modules, optimizers)

    def _preprocessor(self) -> Preprocessor:
        """The tokenizer is trained once; a resumed run reads it."""
        path = self.folder / TOKENIZER
        if not path.is_file():
            train_tokenizer(self.config.tokenizer).save(path)
        tokenizer = Tokenizer.load(path)
        if tokenizer.vocab_size != self.config.model.decoder.vocab_size:
            raise ValueError(
                f"the corpus gave {tokenizer.vocab_size} ids, model.decoder.vocab_size is"
                f" {self.config.model.decoder.vocab_size}; raise tokenizer.items_per_family or"
                " lower both sizes"
            )
        return Preprocessor(preprocessing_of(self.config.model), tokenizer)


def is_plateau(losses: list[float], patience: int, delta: float) -> bool:
    """Whether the best of the last `patience` losses is not below the best before by `delta`."""
    if len(losses) <= patience:
        return False
    return min(losses[-patience:]) > min(losses[:-patience]) * (1 - delta)
