"""How much an engine takes on, and what it refuses."""

from dataclasses import dataclass

from services.policy.engine.request import Group, Job, OutputMode
from services.policy.engine.served_model import ServedModel


class QueueFullError(Exception):
    """More samples wait than the engine queues; try again later."""


class EngineStoppedError(Exception):
    """The engine takes nothing more."""


class GroupError(ValueError):
    """A group that can never run as it is."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """`max_rows` are those of one batch; a guided sample takes two."""

    max_rows: int = 256
    reserved_rows: int = 32  # of a shared batch, on top, for interactive jobs
    max_prefill_tokens: int = 4096  # in one step, padding included
    max_waiting_samples: int = 8192


def check_job(job: Job, limits: EngineLimits) -> None:
    """Raises GroupError for the first group that could not run."""
    for group in job.groups:
        check_group(group, job.model, limits)


def check_group(group: Group, served: ServedModel, limits: EngineLimits) -> None:
    """Raises GroupError with the numbers that do not fit."""
    prompt_tokens, max_tokens = len(group.prompt.token_ids), group.sampling.max_tokens
    if prompt_tokens + max_tokens > served.context_tokens:
        raise GroupError(
            f"the prompt has {prompt_tokens} tokens and max_tokens is {max_tokens}; together they"
            f" exceed the context of {served.context_tokens} tokens"
        )
    if max_tokens < 1:
        raise GroupError(f"max_tokens is {max_tokens}; at least 1 is needed")
    if group.sampling.output is OutputMode.IMAGE and max_tokens < served.tokens_per_image:
        raise GroupError(
            f"max_tokens is {max_tokens}; an image takes {served.tokens_per_image} tokens"
        )
    if group.num_rows > limits.max_rows:
        raise GroupError(
            f"a group of {group.num_samples} samples takes {group.num_rows} rows;"
            f" a batch has {limits.max_rows}"
        )
