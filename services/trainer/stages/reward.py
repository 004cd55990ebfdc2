"""The reward stage: a feedback snapshot's pairs → a reward model that the reward service serves."""

import shutil

from models import checkpoint
from models.export import export_reward
from models.reward import save_reward
from protos.v1 import feedback_log_pb2, feedback_log_pb2_grpc, reward_model_pb2_grpc
from protos.v1 import reward_model_pb2 as pb
from services.trainer.fingerprint import current_fingerprint, record_fingerprint
from services.trainer.judgements import judged_items, load_snapshot, save_snapshot
from services.trainer.kinds import REWARD
from services.trainer.pair_report import PairReport
from services.trainer.recipe import RewardRecipe
from services.trainer.reward_training import RewardTraining
from services.trainer.run_context import RunContext
from services.trainer.run_folder import RunFolder

_LEASE_S = 600.0


def run_reward(run: RunContext, recipe: RewardRecipe) -> None:
    """Trains to the last step or the early stop, exports, loads and names the version."""
    record_fingerprint(run.folder.fingerprints, current_fingerprint())
    _fetch_snapshot(run, recipe)
    training = open_reward_training(run.folder, recipe)
    training.restore(run.folder.checkpoints)
    run.log(f"{len(training.train)} items to train on, {len(training.held_out)} held out")
    while not training.is_done and run.end_reason() is None:
        with run.timed("learn"):
            metrics = training.take_step()
        if training.step % recipe.checkpoint_every == 0:
            training.save(run.folder.checkpoints)
        run.finish_step(training.step, metrics)
    run.update(ended_by="" if training.is_done else run.end_reason() or "")
    if run.folder.stop_wants_checkpoint():
        training.save(run.folder.checkpoints)
    if run.record.ended_by != "stop":
        _publish(run, recipe, training)


def open_reward_training(folder: RunFolder, recipe: RewardRecipe) -> RewardTraining:
    """From what lies in the run's folder alone."""
    initial = checkpoint.load(folder.initial)
    items = judged_items(load_snapshot(folder.snapshot), initial.preprocessor)
    return RewardTraining(recipe, initial, items)


def _fetch_snapshot(run: RunContext, recipe: RewardRecipe) -> None:
    """Once: a resumed run reads its own copy."""
    if run.folder.snapshot.exists():
        return
    stub = feedback_log_pb2_grpc.FeedbackLogStub(run.channels.feedback)
    request = feedback_log_pb2.ReadSnapshotRequest(snapshot_id=recipe.data.snapshot_id)
    with run.timed("snapshot"):
        records = run.patience.call(
            "the feedback service's ReadSnapshot",
            lambda t: list(stub.ReadSnapshot(request, timeout=t)),
        )
    save_snapshot(run.folder.snapshot, records)


def _publish(run: RunContext, recipe: RewardRecipe, training: RewardTraining) -> None:
    report = training.finish()
    with run.timed("export"):
        version = _put(run, recipe, training, report)
    run.update(weights_sha256=training.digest())
    run.measured(report.metrics)
    for alias in filter(None, (run.record.alias, recipe.publish.alias)):
        _load(run, version, alias)
        run.published(version, alias, training.step)


def _put(
    run: RunContext, recipe: RewardRecipe, training: RewardTraining, report: PairReport
) -> str:
    scratch = run.folder.path / "publish"
    shutil.rmtree(scratch, ignore_errors=True)
    reward, calibration = training.model.reward, training.calibration()
    save_reward(scratch, reward, training.preprocessor, calibration)
    export_reward(scratch, reward, training.preprocessor, calibration)
    metadata = {
        "run": run.record.run_id,
        "stage": "reward",
        "parent": run.record.initial_version,
        "snapshot": recipe.data.snapshot_id,
        **{name: f"{value:.6g}" for name, value in report.metrics.items()},
    }
    manifest = run.store.put(REWARD, scratch, training.preprocessor.fingerprint, metadata)
    shutil.rmtree(scratch)
    return manifest.version


def _load(run: RunContext, version: str, alias: str) -> None:
    """Makes the version warm on the reward service, then moves the alias to it."""
    stub = reward_model_pb2_grpc.RewardModelStub(run.channels.reward)
    epoch = run.store.acquire_lease(REWARD, alias, run.record.run_id, _LEASE_S)
    request = pb.LoadModelRequest(
        request_id=f"{run.record.run_id}/load/{alias}/{epoch}",
        version=version,
        alias=alias,
        epoch=epoch,
    )
    run.patience.call(
        "the reward service's LoadModel", lambda t: stub.LoadModel(request, timeout=t)
    )
