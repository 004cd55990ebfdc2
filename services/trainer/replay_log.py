"""The replay log: all that a run consumed, a segment per step, on disk before the update (law 12).

A segment is a header (JSON), the media of its prompts, its groups and the scores of their samples
(protobuf), and a digest of all that. One that was cut off has no digest and does not exist. After
a crash a run learns again from the segments that follow its checkpoint, so nothing is asked twice.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.conversation import Medium
from models.preprocessing.images import content_sha256
from protos.v1 import media_pb2, reward_model_pb2, trajectory_pb2
from services.common.codecs import medium_from_proto, medium_to_proto
from services.common.errors import DataLoss
from services.trainer.framing import frame, read_frames
from services.trainer.learning.plan import UpdatePlan
from services.trainer.run_folder import replace_file

_HEADER, _MEDIA, _GROUP, _SCORE, _DIGEST = b"H", b"M", b"G", b"S", b"D"


class SegmentHeader(BaseModel):
    """`plan` is the batch order; random choices follow from `random_seed`, which made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    step: int
    random_seed: str
    fingerprint: str
    policy_version: str = ""
    reward_version: str = ""
    tasks: tuple[str, ...] = Field((), description="of each group")
    plan: UpdatePlan


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """What one step consumed. `scores` are by sample id; answers to imitate have none."""

    header: SegmentHeader
    groups: tuple[trajectory_pb2.Group, ...]
    scores: dict[str, reward_model_pb2.Score] = field(default_factory=dict)
    media: dict[str, Medium] = field(default_factory=dict)


class ReplayLog:
    """Segments by step in one folder; written whole, never changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, segment: Segment) -> None:
        """On disk when it returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = b"".join(_frames(segment))
        digest = frame(_DIGEST, hashlib.sha256(content).digest())
        replace_file(self._path(segment.header.step), content + digest, durably=True)

    def steps(self) -> list[int]:
        """Of all segments, in order."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self._folder.glob("step-*"))

    def read(self, step: int) -> Segment:
        """Raises DataLoss for a segment that is missing or damaged."""
        path = self._path(step)
        if not path.exists():
            raise DataLoss(f"{path} is missing; the run cannot be replayed past step {step - 1}")
        content = path.read_bytes()
        with path.open("rb") as file:
            frames = list(read_frames(file))
        unsigned = content[: -len(frame(_DIGEST, bytes(32)))]
        if not frames or frames[-1] != (_DIGEST, hashlib.sha256(unsigned).digest()):
            raise DataLoss(f"{path} does not match its digest; it has been changed or damaged")
        return _segment(frames)

    def after(self, step: int) -> Iterator[Segment]:
        """The segments of the steps that follow, without a gap."""
        for following in self.steps():
            if following > step:
                yield self.read(following)

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}.segment"


def _frames(segment: Segment) -> Iterator[bytes]:
    yield frame(_HEADER, segment.header.model_dump_json().encode())
    for medium in segment.media.values():
        yield frame(_MEDIA, medium_to_proto(medium).SerializeToString(deterministic=True))
    for group in segment.groups:
        yield frame(_GROUP, group.SerializeToString(deterministic=True))
    for score in segment.scores.values():
        yield frame(_SCORE, score.SerializeToString(deterministic=True))


def _segment(frames: list[tuple[bytes, bytes]]) -> Segment:
    def of_kind(kind: bytes) -> list[bytes]:
        return [payload for found, payload in frames if found == kind]

    scores = [reward_model_pb2.Score.FromString(payload) for payload in of_kind(_SCORE)]
    media = [medium_from_proto(media_pb2.Media.FromString(p)) for p in of_kind(_MEDIA)]
    return Segment(
        header=SegmentHeader.model_validate_json(of_kind(_HEADER)[0]),
        groups=tuple(trajectory_pb2.Group.FromString(payload) for payload in of_kind(_GROUP)),
        scores={score.item_id: score for score in scores},
        media={content_sha256(medium.data): medium for medium in media},
    )
