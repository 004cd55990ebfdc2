"""How much an engine takes on, and what it refuses."""

from dataclasses import dataclass

from services.policy.engine.memory import num_pages_in
from services.policy.engine.pages import num_pages_of
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
    reserved_rows: int = 32  # on top, for interactive jobs
    max_prefill_tokens: int = 512  # of prompts, in one step
    max_drafted_rows: int = 2  # rows at once for which answers are guessed ahead; 0: never
    max_waiting_samples: int = 8192
    cache_bytes: int = 1 << 30  # of keys and values
    prefix_cache_bytes: int = 256 << 20  # of them, those that nothing uses and another may find
    feature_cache_bytes: int = 64 << 20  # of encoded media
    interactive_weight: int = 4  # shares of time of a version that an application waits for


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
    if group.sampling.output is OutputMode.IMAGE and not served.grammar.draws_images:
        raise GroupError(f"{served.version} draws no pictures; ask for text")
    if group.sampling.output is OutputMode.IMAGE and max_tokens < served.tokens_per_image:
        raise GroupError(
            f"max_tokens is {max_tokens}; an image takes {served.tokens_per_image} tokens"
        )
    if group.num_rows > limits.max_rows:
        raise GroupError(
            f"a group of {group.num_samples} samples takes {group.num_rows} rows;"
            f" a batch has {limits.max_rows}"
        )
    _check_pages(group, served, limits)


def _check_pages(group: Group, served: ServedModel, limits: EngineLimits) -> None:
    """A group begins together, and a sample must be able to reach its end."""
    num_pages = num_pages_in(
        limits.cache_bytes, served.model.config.decoder, served.weights.element_bytes
    )
    prompt_tokens, num_tracks = len(group.prompt.token_ids), 2 if group.sampling.is_guided else 1
    whole = num_pages_of(prompt_tokens + group.sampling.max_tokens)
    together = num_pages_of(prompt_tokens) + group.num_samples - 1
    needed = num_tracks * max(whole, together)
    if needed > num_pages:
        raise GroupError(
            f"a group of {group.num_samples} samples over a prompt of {prompt_tokens} tokens needs"
            f" {needed} pages of the cache; it has {num_pages}"
        )
