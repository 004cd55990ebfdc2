"""Whether an answer came whole."""

from collections.abc import Iterable, Sequence

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import trajectory_pb2

Events = Iterable[pb.GenerateResponse] | Iterable[pb.RolloutResponse]
_ENDED_WELL = (trajectory_pb2.FINISH_REASON_STOP, trajectory_pb2.FINISH_REASON_LENGTH)


def what_is_wrong(events: Events, num_samples: int) -> str | None:
    """Reads a call to its end; None where all of its samples came and ended well."""
    samples: list[trajectory_pb2.Sample] = []
    is_done = False
    for event in events:
        samples += _samples_of(event)
        is_done = is_done or event.HasField("done")
    if not is_done:
        return "the stream ended before it was done"
    if len(samples) != num_samples:
        return f"{len(samples)} of {num_samples} samples came"
    bad = [sample for sample in samples if sample.finish_reason not in _ENDED_WELL]
    return f"a sample ended badly: {bad[0].error}" if bad else None


def _samples_of(
    event: pb.GenerateResponse | pb.RolloutResponse,
) -> Sequence[trajectory_pb2.Sample]:
    if isinstance(event, pb.RolloutResponse):
        return event.group.samples
    return [event.finished] if event.HasField("finished") else []
