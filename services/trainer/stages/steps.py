"""The loop of the policy and sft stages: collect, log, learn, publish, checkpoint.

A segment is on disk before it is learned from, so a run that died anywhere first learns again from
the segments after its checkpoint, and then goes on: with the same weights, bit for bit.
"""

from collections.abc import Callable
from typing import Protocol

from services.common.errors import FailedPrecondition
from services.trainer.fingerprint import current_fingerprint, record_fingerprint
from services.trainer.policy_training import PolicyTraining
from services.trainer.publisher import Publisher
from services.trainer.replay_log import ReplayLog, Segment
from services.trainer.run_context import RunContext

_MAX_SKIPPED = 5


class Collect(Protocol):
    """Gathers what step number `step` learns from."""

    def __call__(self, training: PolicyTraining, step: int, random_seed: str) -> Segment: ...


def run_steps(
    run: RunContext,
    training: PolicyTraining,
    collect: Collect,
    publish_steps: bool,
    after_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Trains to the last step, a stop or the time limit; publishes the result.

    `after_step` finds the step's weights at run/ID; it must not change what is learned.
    """
    log = ReplayLog(run.folder.replay)
    record_fingerprint(run.folder.fingerprints, current_fingerprint())
    publish = _publication(run, training)
    if not publish_steps:
        publish(run.record.alias)  # the initial policy, which is sampled from throughout
    training.restore(run.folder.checkpoints)
    for segment in log.after(training.step):
        run.finish_step(training.step + 1, training.learn(segment))
    if publish_steps:
        publish(run.record.alias)
    num_skipped = 0
    while training.step < training.recipe.steps and run.end_reason() is None:
        segment = collect(training, training.step + 1, _random_seed(run, training.step + 1))
        with run.timed("log"):
            log.append(segment)
        with run.timed("learn"):
            metrics = training.learn(segment)
        with run.timed("measure"):
            metrics |= training.measure(segment)
        num_skipped = _check_skipped(run, metrics, num_skipped)
        if publish_steps and not metrics["skipped"]:
            publish(run.record.alias)
        if training.step % training.recipe.checkpoint_every == 0:
            with run.timed("checkpoint"):
                training.save(run.folder.checkpoints)
        run.finish_step(training.step, metrics)
        after_step(training.step)
    _finish(run, training, publish)


def _finish(run: RunContext, training: PolicyTraining, publish: Callable[[str], None]) -> None:
    is_done = training.step >= training.recipe.steps
    reason = "" if is_done else run.end_reason() or ""
    if run.folder.stop_wants_checkpoint():
        training.save(run.folder.checkpoints)
    publish(run.record.alias)
    if training.recipe.publish.alias and reason != "stop":
        publish(training.recipe.publish.alias)
    run.update(weights_sha256=training.digest(), ended_by=reason)


def _publication(run: RunContext, training: PolicyTraining) -> Callable[[str], None]:
    """Publishes the weights as they are to an alias, once for each step."""
    publisher = Publisher(run.channels.policy, run.store, run.record.run_id, run.patience)
    published: dict[str, int] = {}

    def publish(alias: str) -> None:
        if published.get(alias) == training.step:
            return
        with run.timed("publish"):
            metadata = {
                "run": run.record.run_id,
                "stage": run.record.stage,
                "step": str(training.step),
                "parent": run.record.initial_version,
            }
            scratch = run.folder.path / "publish"
            manifest = publisher.put(scratch, training.model, training.preprocessor, metadata)
            publisher.publish(alias, manifest)
            publisher.remove_old(keep=manifest.version)
        published[alias] = training.step
        run.published(manifest.version, alias, training.step)

    return publish


def _random_seed(run: RunContext, step: int) -> str:
    """Every random choice of a step follows from this."""
    return f"{run.recipe.seed}-{step}"


def _check_skipped(run: RunContext, metrics: dict[str, float], num_skipped: int) -> int:
    """Says why a step was skipped. Raises FailedPrecondition if scores keep failing."""
    if not metrics["skipped"]:
        return 0
    drops = {k.removeprefix("dropped/"): v for k, v in metrics.items() if k.startswith("dropped/")}
    dropped = ", ".join(f"{reason} {count:.0f}" for reason, count in drops.items())
    why = f"dropped: {dropped}" if dropped else "no group's rewards differ"
    run.log(f"step skipped, nothing to learn from ({why})", "warning")
    if num_skipped + 1 >= _MAX_SKIPPED and dropped:
        raise FailedPrecondition(
            f"{_MAX_SKIPPED} steps in a row had nothing to learn from ({why}); look at the reward"
            " service's log, then resume the run"
        )
    return num_skipped + 1
