"""Turns to token ids and media, one part after the other."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from models.preprocessing.conversation import (
    Audio,
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
)
from models.preprocessing.encoded_prompt import EncodedPrompt, PromptError
from models.preprocessing.images import content_sha256
from models.preprocessing.log_mel import AudioGrid, audio_windows
from models.preprocessing.media_arrays import MediaArrays
from models.preprocessing.preprocessor_config import PreprocessorConfig
from models.preprocessing.token_scheme import Spelling
from models.preprocessing.tokenizer import Tokenizer


class PromptWriter:
    """Collects one sequence; `check_ids` refuses ids of another preprocessing."""

    def __init__(
        self,
        config: PreprocessorConfig,
        tokenizer: Tokenizer,
        check_ids: Callable[[Sequence[int], str], None],
        decode: MediaDecoder,
    ) -> None:
        self._config = config
        self._settings = config.media_settings
        self._tokenizer = tokenizer
        self._scheme = tokenizer.scheme
        self._check_ids = check_ids
        self._decode = decode
        self._media = [_no_media(config)]
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
                self._check_ids(part.ids, part.fingerprint)
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
