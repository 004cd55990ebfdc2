"""What a step of a batch made."""

from dataclasses import dataclass, field

from services.policy.engine.request import FinishReason, Job, Token
from services.policy.engine.row_table import Endings
from services.policy.engine.sequence import Pending, Sequence


@dataclass(frozen=True, slots=True)
class Ended:
    """A sequence that left its batch for good."""

    sequence: Sequence
    reason: FinishReason
    error: str | None = None


@dataclass(slots=True)
class StepResult:
    """What a step made: tokens of streamed sequences, those that ended or gave way, and counts."""

    tokens: list[tuple[Sequence, Token]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    preempted: list[Pending] = field(default_factory=list)
    begun: list[Job] = field(default_factory=list)  # whose first token this step drew
    errors: list[Exception] = field(default_factory=list)  # of prompts that could not begin
    num_decoded_rows: int = 0
    num_prompt_tokens: int = 0
    num_text_tokens: int = 0
    num_image_tokens: int = 0


def ended_by(sequence: Sequence, endings: Endings, row: int) -> Ended:
    """Why the sequence of a row that is over left."""
    if sequence.constraint is not None and sequence.constraint.error:
        return Ended(sequence, FinishReason.FAILED, sequence.constraint.error)
    if not endings.is_finite_R[row]:
        return Ended(sequence, FinishReason.FAILED, "the model's logits are not finite")
    is_stopped = endings.is_stopped_R[row]
    return Ended(sequence, FinishReason.STOP if is_stopped else FinishReason.LENGTH)
