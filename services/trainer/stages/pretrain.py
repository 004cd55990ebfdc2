"""The pretrain stage: a base policy from nothing, put into the store and published to run/ID."""

from models import checkpoint
from services.trainer.patience import StopAskedError
from services.trainer.pretraining.stage import pretrain
from services.trainer.publisher import Publisher
from services.trainer.recipe import PretrainRecipe
from services.trainer.run_context import RunContext


def run_pretrain(run: RunContext, recipe: PretrainRecipe) -> None:
    """Trains, or goes on with what the run's folder holds. Stops between two reports."""

    def report(step: int, metrics: dict[str, float]) -> None:
        run.finish_step(step, metrics)
        reason = run.end_reason()
        if reason is not None:
            raise StopAskedError(f"pretraining stopped ({reason}); resume it to go on")

    latest = checkpoint.load(pretrain(recipe.pretrain, run.folder.path / "pretrain", report))
    publisher = Publisher(run.channels.policy, run.store, run.record.run_id, run.patience)
    metadata = {"run": run.record.run_id, "stage": "pretrain", "step": str(run.record.step)}
    scratch = run.folder.path / "publish"
    manifest = publisher.put(scratch, latest.model, latest.preprocessor, metadata)
    for alias in filter(None, (run.record.alias, recipe.publish.alias)):
        publisher.publish(alias, manifest)
        run.published(manifest.version, alias, run.record.step)
