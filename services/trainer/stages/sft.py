"""The sft stage: imitates right answers, or the best of n sampled ones.

Best-of-n is the control of RL: the same rollouts and scores, from a policy that does not move
while it is sampled from, and plain imitation of each group's best.
"""

from collections.abc import Sequence

import torch

from models.preprocessing.conversation import Picture, Text, Turn
from models.preprocessing.images import MediaLimits, tiles_from_picture
from protos.v1 import trajectory_pb2
from services.common.dataset import TaskItem
from services.common.errors import InvalidArgument
from services.trainer.fingerprint import current_fingerprint
from services.trainer.learning.plan import UpdatePlan
from services.trainer.policy_training import PolicyTraining, open_training
from services.trainer.recipe import SftRecipe
from services.trainer.replay_log import Segment, SegmentHeader
from services.trainer.rollouts import group_id
from services.trainer.run_context import RunContext
from services.trainer.sources import open_source
from services.trainer.stages.policy import ScoredRollouts, media_of
from services.trainer.stages.steps import run_steps


def run_sft(run: RunContext, recipe: SftRecipe) -> None:
    """Trains, and publishes the result at the end."""
    training = open_training(recipe, run.folder.initial)
    if recipe.reward is not None:
        run_steps(run, training, ScoredRollouts(run, recipe, recipe.reward), publish_steps=False)
    else:
        run_steps(run, training, Targets(recipe), publish_steps=False)


class Targets:
    """Collects right answers out of the data, as token ids."""

    def __init__(self, recipe: SftRecipe) -> None:
        self._recipe = recipe
        self._source = open_source(recipe.data, recipe.seed)
        self._fingerprint = current_fingerprint().digest

    def __call__(self, training: PolicyTraining, step: int, random_seed: str) -> Segment:
        """See stages/steps.py."""
        num_prompts = self._recipe.rollout.prompts_per_step
        items = self._source.take((step - 1) * num_prompts, num_prompts)
        groups = [_target_group(training, i, item) for i, item in enumerate(items)]
        header = SegmentHeader(
            step=step,
            random_seed=random_seed,
            fingerprint=self._fingerprint,
            tasks=tuple(item.family for item in items),
            plan=UpdatePlan(minibatches=(), epochs=()),
        )
        return training.planned(Segment(header, tuple(groups), {}, media_of(items)))


def _target_group(training: PolicyTraining, index: int, item: TaskItem) -> trajectory_pb2.Group:
    if item.target is None:
        raise InvalidArgument(f"item {item.item_id} has no target; sft needs one in each row")
    is_image = any(isinstance(part, Picture) for part in item.target.parts)
    encoded = training.preprocessor.encode(item.conversation, begin_image=is_image)
    name = group_id(index, item)
    sample = trajectory_pb2.Sample(
        sample_id=f"{name}/0",
        token_ids=_target_ids(training, item.target),
        finish_reason=trajectory_pb2.FINISH_REASON_STOP,
    )
    return trajectory_pb2.Group(
        group_id=name,
        samples=[sample],
        prompt_token_ids=encoded.token_ids.tolist(),
        media_sha256=encoded.media_sha256,
        preprocessing_fingerprint=training.preprocessor.fingerprint,
    )


def _target_ids(training: PolicyTraining, target: Turn) -> Sequence[int]:
    """Text as its tokens, or one picture as its codes; then the end of the turn."""
    tokenizer = training.preprocessor.tokenizer
    match target.parts:
        case (Text(text),):
            written = tokenizer.scheme.written_prefix + text
            return [*tokenizer.encode(written), tokenizer.special.end]
        case (Picture(data),):
            codes = _codes(training, data)
            return [*codes, training.grammar.end_of_image, tokenizer.special.end]
        case _:
            raise InvalidArgument("a target must be one text or one picture")


def _codes(training: PolicyTraining, picture: bytes) -> list[int]:
    if not training.grammar.draws_images:
        raise InvalidArgument("a target is a picture; this model draws none")
    size = training.model.vqmodel.config.image_size
    tile_1SS3 = torch.from_numpy(tiles_from_picture(picture, size, MediaLimits(max_tiles=1)))
    codes_1T = training.model.vqmodel.encode(tile_1SS3.permute(0, 3, 1, 2).float() / 255)
    ids: list[int] = (codes_1T[0] + training.grammar.vocab_size).tolist()
    return ids
