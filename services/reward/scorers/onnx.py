"""A reward model in ONNX Runtime: items to tokens, length buckets, batches, rewards.

A version's folder is what models/export.py wrote. Legend: B batch, K heads.
"""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.preprocessing.conversation import Role
from models.preprocessing.decoding import MediaDecoder
from models.preprocessing.media_arrays import MediaArrays
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from models.reward_config import RewardFile, read_reward_file
from services.reward.batcher import Prepared
from services.reward.known_scores import content_of
from services.reward.scorers.batched import BatchedScorer, ScorerTools
from services.reward.scorers.contract import ItemRejected, Outcome, ScorerInfo, ScoringItem
from services.reward.scorers.onnx_graphs import EncodedItem, GraphError, RawScores, RewardGraphs


@dataclass(frozen=True, slots=True)
class LoadedReward:
    """A reward model in memory, before it has a queue."""

    file: RewardFile
    preprocessor: Preprocessor
    graphs: RewardGraphs


@dataclass(frozen=True, slots=True)
class _Row:
    encoded: EncodedItem
    bucket: int


class OnnxScorer(BatchedScorer[_Row]):
    """Scores with a loaded reward model; `compute` runs one batch at a time."""

    def __init__(
        self,
        name: str,
        loaded: LoadedReward,
        compute: Executor,
        decode: MediaDecoder,
        tools: ScorerTools,
    ) -> None:
        reward = loaded.file.reward
        info = ScorerInfo(
            name=name,
            kind="onnx",
            comparability=loaded.file.comparability,
            fingerprint=loaded.file.fingerprint,
            metadata={
                "num_heads": str(reward.num_heads),
                "pooling": reward.pooling,
                "attention": reward.attention,
            },
        )
        super().__init__(info, tools)
        self._loaded = loaded
        self._compute = compute
        self._decode = decode
        self._buckets = bucket_lengths(loaded.file.model.decoder.max_length)

    def content(self, item: ScoringItem) -> bytes:
        return content_of(item)

    def prepare(self, item: ScoringItem) -> Prepared[_Row]:
        if item.answer.role is not Role.ASSISTANT:
            raise ItemRejected(f"the answer's role is {item.answer.role}; expected assistant")
        encoded = self._loaded.preprocessor.encode_with_answer(
            item.conversation, item.answer, self._decode
        )
        decoder = self._loaded.file.model.decoder
        length = len(encoded.token_ids)
        if length > decoder.max_length:
            raise ItemRejected(
                f"prompt and answer are {length} tokens; the model takes {decoder.max_length}"
            )
        if int(encoded.token_ids.max()) >= decoder.vocab_size:
            raise ItemRejected(
                "the item holds image codes, which the reward model cannot decode; send the "
                "picture itself as a media part"
            )
        bucket = next(b for b in self._buckets if b >= length)
        row = _Row(EncodedItem(encoded.token_ids, encoded.media), bucket)
        return Prepared(row, num_tokens=length, bucket=bucket)

    async def execute(self, batch: Sequence[_Row]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        encoded = [row.encoded for row in batch]
        raw = await loop.run_in_executor(
            self._compute, self._loaded.graphs.run, encoded, batch[0].bucket
        )
        return [self._outcome(raw, b) for b in range(len(batch))]

    def _outcome(self, raw: RawScores, b: int) -> Outcome:
        """The heads' mean as reward, their spread as std, both in calibrated units."""
        calibration = self._loaded.file.calibration
        heads_K = raw.rewards_BK[b].astype(float)
        mean, num_heads = float(heads_K.mean()), len(heads_K)
        return Outcome.scored(
            (mean - calibration.mean) / calibration.std,
            reward_raw=mean,
            std=float(heads_K.std(ddof=1)) / calibration.std if num_heads > 1 else None,
            acceptability=_probability(float(raw.acceptability_B[b])),
        )


def load_reward(folder: Path, num_threads: int) -> LoadedReward:
    """Loads an exported reward model and runs it once in every bucket (blocking).

    Raises ValueError for a folder that does not hold one.
    """
    file = read_reward_file(folder / "config.json")
    tokenizer = Tokenizer.load(folder / "tokenizer.json", file.preprocessor.tokens)
    preprocessor = Preprocessor(file.preprocessor, tokenizer)
    if preprocessor.fingerprint != file.fingerprint:
        raise GraphError(
            f"the tokenizer has fingerprint {preprocessor.fingerprint}; config.json says "
            f"{file.fingerprint}"
        )
    graphs = RewardGraphs(folder, num_threads, file.model, tokenizer.special.pad)
    loaded = LoadedReward(file, preprocessor, graphs)
    try:
        _warm(loaded)
    except Exception as error:  # ONNX Runtime's errors have no common class below Exception
        raise GraphError(f"the graphs do not run as config.json says: {error}") from error
    return loaded


def bucket_lengths(max_length: int) -> tuple[int, ...]:
    """Padded lengths: steps of an eighth of the next power of two, at least 16, up to the longest.

    Padding stays under a fifth of a row, and shapes are few.
    """
    lengths: list[int] = []
    length = 16
    while length < max_length:
        lengths.append(length)
        length += max(16, 2 ** math.ceil(math.log2(length + 1)) // 8)
    return (*lengths, max_length)


def _warm(loaded: LoadedReward) -> None:
    """Runs each bucket once, with one unit of each kind of media that fits, and checks it."""
    special = loaded.preprocessor.tokenizer.special
    kinds = _one_of_each_kind(loaded)
    for bucket in bucket_lengths(loaded.file.model.decoder.max_length):
        ids, media = (
            np.full(bucket, special.end, dtype=np.int64),
            [loaded.preprocessor.media_arrays([])],
        )
        start = 0
        for token, num_tokens, unit in kinds:
            if start + num_tokens < bucket:
                ids[start : start + num_tokens] = token
                media.append(unit)
                start += num_tokens
        item = EncodedItem(ids, MediaArrays.concatenate(media))
        heads = loaded.graphs.run([item], bucket).rewards_BK.shape[1]
        if heads != loaded.file.reward.num_heads:
            raise GraphError(f"{heads} heads instead of {loaded.file.reward.num_heads}")


def _one_of_each_kind(loaded: LoadedReward) -> list[tuple[int, int, MediaArrays]]:
    """(placeholder id, how many, the unit) of a black tile, a window of silence, a black frame."""
    config, model = loaded.file.preprocessor, loaded.file.model
    nothing = loaded.preprocessor.media_arrays([])
    black = np.zeros((1, *nothing.tiles_NSS3.shape[1:]), np.uint8)
    units = [(model.image_token, config.patches_per_tile, replace(nothing, tiles_NSS3=black))]
    if config.audio is not None:
        tokens_N = np.array([config.audio.window_frames // config.audio.frames_per_token])
        silence = np.zeros((1, *nothing.mels_NMT.shape[1:]), np.float32)
        window = replace(nothing, mels_NMT=silence, mel_tokens_N=tokens_N)
        units.append((model.audio_token, int(tokens_N[0]), window))
    if config.video is not None:
        frame = replace(nothing, frames_NSS3=black, times_N=np.zeros(1, np.float32))
        units.append((model.video_token, config.video.tokens_per_frame, frame))
    return [(token, count, unit) for token, count, unit in units if token is not None and count > 0]


def _probability(logit: float) -> float:
    """Its sigmoid; what is not finite stays so, for `Outcome.scored` to refuse."""
    return 1 / (1 + math.exp(-max(logit, -700.0))) if math.isfinite(logit) else logit
