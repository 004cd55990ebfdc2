"""Ids with a meaning of their own, which no text encodes to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """What a family of models lacks is None. `image`, `audio` and `video` are placeholders, whose
    embeddings are replaced by features; `others` are ids that are never written or sampled."""

    pad: int
    end: int
    bos: int | None = None
    system: int | None = None
    user: int | None = None
    assistant: int | None = None
    image: int | None = None
    begin_of_image: int | None = None
    end_of_image: int | None = None
    audio: int | None = None
    video: int | None = None
    others: frozenset[int] = frozenset()

    def ids(self) -> frozenset[int]:
        """All of them."""
        named = (
            *(self.pad, self.end, self.bos, self.system, self.user, self.assistant, self.image),
            *(self.begin_of_image, self.end_of_image, self.audio, self.video),
        )
        return self.others | {token_id for token_id in named if token_id is not None}
