"""Conversations to token ids and media, and sampled ids back to text and image codes.

A prompt is `bos`, each turn as the model's token scheme spells it, then the opening of the answer.
A medium stands as placeholder ids, which fusion (models/omni.py) replaces with features: so many
for each tile of a picture, each frame of a clip, and each stretch of a recording.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.conversation import (
    Audio,
    Conversation,
    Medium,
    Part,
    Picture,
    Role,
    Text,
    TokenIds,
    Turn,
    Video,
)
from models.preprocessing.decoding import (
    Decoded,
    DecodedAudio,
    DecodedPicture,
    MediaDecoder,
    MediaSettings,
    decode_medium,
)
from models.preprocessing.images import MediaLimits, SquarePadding, content_sha256
from models.preprocessing.log_mel import AudioGrid, audio_windows
from models.preprocessing.media_arrays import MediaArrays
from models.preprocessing.special_tokens import SpecialTokens
from models.preprocessing.token_scheme import Spelling, TokenScheme
from models.preprocessing.tokenizer import Tokenizer


class PromptError(ValueError):
    """A conversation that cannot be encoded."""


def _is_absent(section: object) -> bool:
    """What no model had before families stays out of files and fingerprints of those models."""
    return section is None


class VideoGrid(BaseModel):
    """How clips become frames and placeholder ids; part of a checkpoint's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_frames: int = Field(8, ge=1, description="spread evenly over the clip")
    tokens_per_frame: int = Field(16, ge=1, description="placeholder ids of one frame")


class PreprocessorConfig(BaseModel):
    """What decides how media and codes become ids; part of a checkpoint's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile_size: int = Field(32, ge=1, description="side of a vision tile, pixels")
    patches_per_tile: int = Field(
        64, ge=0, description="placeholder ids of one tile; 0: pictures are refused"
    )
    codebook_size: int = Field(
        256, ge=0, description="image codes: ids V … V+K-1; 0: none are drawn"
    )
    max_tiles: int = Field(4, ge=1, description="largest grid of one picture")
    max_picture_bytes: int = Field(8 * 2**20, ge=1)
    max_picture_pixels: int = Field(16 * 2**20, ge=1)

    audio: AudioGrid | None = Field(None, description="absent: recordings are refused")
    video: VideoGrid | None = Field(None, description="absent: clips are refused")
    padding: SquarePadding | None = Field(
        None, exclude_if=_is_absent, description="absent: pictures are cut into tiles"
    )
    tokens: TokenScheme | None = Field(
        None, exclude_if=_is_absent, description="of a family; absent: the project's own"
    )

    @property
    def media_settings(self) -> MediaSettings:
        """What decoding needs to know."""
        return MediaSettings(
            tile_size=self.tile_size,
            sample_rate=(self.audio or AudioGrid()).sample_rate,
            max_frames=(self.video or VideoGrid()).max_frames,
            padding=self.padding,
            picture=MediaLimits(self.max_picture_bytes, self.max_picture_pixels, self.max_tiles),
        )


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """What the model reads: int64 [L], the media, and one digest per medium in order."""

    token_ids: NDArray[np.int64]
    media: MediaArrays
    media_sha256: tuple[str, ...]


class Preprocessor:
    """The one way from content to ids. `fingerprint` names it wherever ids travel."""

    def __init__(self, config: PreprocessorConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        definition = config.model_dump_json() + tokenizer.to_json()
        self.fingerprint = hashlib.sha256(definition.encode()).hexdigest()[:16]

    def encode(
        self,
        conversation: Conversation,
        begin_image: bool = False,
        decode: MediaDecoder = decode_medium,
    ) -> EncodedPrompt:
        """The prompt up to where the answer starts; `begin_image` makes that answer a picture."""
        if not conversation:
            raise PromptError("a conversation needs at least one turn")
        writer = _Writer(self, decode)
        writer.add_turns(conversation)
        writer.add_spelling(self.tokenizer.scheme.assistant.opening)
        if begin_image:
            writer.add_spelling((self._begin_of_image(),))
        return writer.encoded()

    def encode_with_answer(
        self, conversation: Conversation, answer: Turn, decode: MediaDecoder = decode_medium
    ) -> EncodedPrompt:
        """Prompt and answer, as the reward model reads them: ends with the end-of-turn id.

        A `Picture` in the answer is seen through the vision tower, as in any other turn.
        """
        writer = _Writer(self, decode)
        writer.add_turns((*conversation, answer))
        return writer.encoded()

    def media_arrays(
        self, media: Sequence[Medium], decode: MediaDecoder = decode_medium
    ) -> MediaArrays:
        """What `encode` gives for a prompt with these media."""
        writer = _Writer(self, decode)
        for medium in media:
            writer.add_medium(medium)
        return writer.encoded().media

    def decode_answer(self, ids: Sequence[int]) -> list[str | list[int]]:
        """Sampled ids as runs: text, or the codes (0 … K-1) of one picture.

        Specials end a run and are left out. A run of codes that was cut short is returned short.
        """
        runs: list[str | list[int]] = []
        text: list[int] = []
        codes: list[int] = []
        special_ids = self.tokenizer.special.ids()
        for token_id in ids:
            (codes if token_id >= self.tokenizer.vocab_size else text).append(token_id)
            is_break = token_id in special_ids
            if codes and (is_break or token_id < self.tokenizer.vocab_size):
                runs.append(self._local(codes))
                codes = []
            if text and (is_break or codes):
                runs += [self.tokenizer.decode(text)]
                text = []
        runs += [self.tokenizer.decode(text)] if text else []
        runs += [self._local(codes)] if codes else []
        return [run for run in runs if run]

    def _local(self, codes: list[int]) -> list[int]:
        return [code - self.tokenizer.vocab_size for code in codes]

    def check_ids(self, ids: Sequence[int], fingerprint: str) -> None:
        """Refuses ids of another preprocessing, out of range, or that only a prompt may hold."""
        if fingerprint != self.fingerprint:
            raise PromptError(
                f"token ids have fingerprint {fingerprint!r}; this model's is {self.fingerprint!r}"
            )
        special = self.tokenizer.special
        reserved = special.ids() - {special.end, special.begin_of_image, special.end_of_image}
        size = self.tokenizer.vocab_size + self.config.codebook_size
        for token_id in ids:
            if not 0 <= token_id < size or token_id in reserved:
                raise PromptError(f"token id {token_id} cannot stand in content (0 … {size - 1})")

    def _begin_of_image(self) -> int:
        begin_of_image = self.tokenizer.special.begin_of_image
        if begin_of_image is None:
            raise PromptError("this model draws no pictures; ask for text")
        return begin_of_image


def without_content(prompt_ids_L: NDArray[np.int64], special: SpecialTokens) -> NDArray[np.int64]:
    """The unconditional prompt of guidance: all but bos and begin_of_image become pad (Janus)."""
    is_kept_L = (prompt_ids_L == special.bos) | (prompt_ids_L == special.begin_of_image)
    return np.where(is_kept_L, prompt_ids_L, special.pad)


class _Writer:
    """Collects one sequence."""

    def __init__(self, preprocessor: Preprocessor, decode: MediaDecoder) -> None:
        self._preprocessor = preprocessor
        self._config = preprocessor.config
        self._settings = preprocessor.config.media_settings
        self._tokenizer = preprocessor.tokenizer
        self._scheme = preprocessor.tokenizer.scheme
        self._decode = decode
        self._media = [_no_media(preprocessor.config)]
        self._digests: list[str] = []
        self._text = ""  # not encoded yet: what follows may belong to its last word
        bos = self._scheme.special.bos
        self._ids: list[int] = [] if bos is None else [bos]

    def add_turns(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            enclosure = self._scheme.of_role(turn.role)
            self.add_spelling(enclosure.opening)
            self._add_parts(turn)
            self._end_turn(enclosure.closing)

    def add_spelling(self, spelling: Spelling) -> None:
        for piece in spelling:
            if isinstance(piece, str):
                self._text += piece
            else:
                self._add_ids([piece])

    def encoded(self) -> EncodedPrompt:
        self._add_ids([])
        ids = np.asarray(self._ids, dtype=np.int64)
        return EncodedPrompt(ids, MediaArrays.concatenate(self._media), tuple(self._digests))

    def add_medium(self, medium: Medium) -> None:
        self._check_is_understood(medium)
        self._add_decoded(self._decode(medium, self._settings))
        self._digests.append(content_sha256(medium.data))

    def _add_parts(self, turn: Turn) -> None:
        before: Part | None = None
        for part in turn.parts:
            if before is not None:
                self._separate(before, part)
            if isinstance(part, Text):
                is_written = before is None and turn.role is Role.ASSISTANT
                self._text += self._written(part.text) if is_written else part.text
            elif isinstance(part, TokenIds):
                self._preprocessor.check_ids(part.ids, part.fingerprint)
                self._add_ids(part.ids)
            else:
                self.add_medium(part)
            before = part

    def _separate(self, before: Part, after: Part) -> None:
        """Pictures stand apart; a text is encoded by itself, whatever text comes before it."""
        separator = self._scheme.picture_separator
        self._text += separator * (isinstance(before, Picture) + isinstance(after, Picture))
        if isinstance(before, Text) and isinstance(after, Text):
            self._add_ids([])

    def _written(self, text: str) -> str:
        prefix = self._scheme.written_prefix
        return prefix + text.removeprefix(prefix)

    def _end_turn(self, closing: Spelling) -> None:
        """Sampled ids may bring the first id of the closing."""
        is_ended = not self._text and self._ids[-1:] == [self._scheme.special.end]
        self.add_spelling(closing[1:] if is_ended and closing[:1] == (self._ids[-1],) else closing)

    def _add_ids(self, ids: Sequence[int]) -> None:
        if self._text:
            self._ids += self._tokenizer.encode(self._text)
            self._text = ""
        self._ids += ids

    def _check_is_understood(self, medium: Medium) -> None:
        if isinstance(medium, Picture) and not self._config.patches_per_tile:
            raise PromptError(
                "this model takes no pictures; use one whose config.json has a vision section"
            )
        if isinstance(medium, Audio) and self._config.audio is None:
            raise PromptError(
                "this model takes no audio; use one whose config.json has an audio section"
            )
        if isinstance(medium, Video) and self._config.video is None:
            raise PromptError(
                "this model takes no video; use one whose config.json has a video section"
            )

    def _add_decoded(self, decoded: Decoded) -> None:
        nothing, config, special = self._media[0], self._config, self._scheme.special
        if isinstance(decoded, DecodedPicture):
            self.add_spelling(self._scheme.picture.opening)
            self._add_placeholders(special.image, len(decoded.tiles) * config.patches_per_tile)
            self.add_spelling(self._scheme.picture.closing)
            self._media.append(replace(nothing, tiles_NSS3=decoded.tiles))
        elif isinstance(decoded, DecodedAudio):
            assert config.audio is not None
            windows = audio_windows(decoded.samples, config.audio)
            self._add_placeholders(special.audio, int(windows.tokens_N.sum()))
            self._media.append(
                replace(nothing, mels_NMT=windows.mels_NMT, mel_tokens_N=windows.tokens_N)
            )
        else:
            assert config.video is not None
            num_tokens = len(decoded.frames) * config.video.tokens_per_frame
            self._add_placeholders(special.video, num_tokens)
            self._media.append(
                replace(nothing, frames_NSS3=decoded.frames, times_N=decoded.times_s)
            )

    def _add_placeholders(self, token_id: int | None, count: int) -> None:
        assert token_id is not None
        self._add_ids([token_id] * count)


def _no_media(config: PreprocessorConfig) -> MediaArrays:
    side, audio = config.tile_size, config.audio or AudioGrid()
    return MediaArrays(
        tiles_NSS3=np.zeros((0, side, side, 3), np.uint8),
        mels_NMT=np.zeros((0, audio.num_mels, audio.window_frames), np.float32),
        mel_tokens_N=np.zeros(0, np.int64),
        frames_NSS3=np.zeros((0, side, side, 3), np.uint8),
        times_N=np.zeros(0, np.float32),
    )
