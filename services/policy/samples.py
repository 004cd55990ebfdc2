"""Sampled answers on the wire: ids with their numbers, and the text and pictures people see."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from models.preprocessing.conversation import Picture
from models.preprocessing.images import encode_png
from protos.v1 import content_pb2
from protos.v1 import trajectory_pb2 as pb
from services.common.codecs import medium_to_proto
from services.policy.engine import request as engine
from services.policy.engine.served_model import ServedModel
from services.policy.engine.text_stream import stop_position

_FINISH = {
    engine.FinishReason.STOP: pb.FINISH_REASON_STOP,
    engine.FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    engine.FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
    engine.FinishReason.FAILED: pb.FINISH_REASON_FAILED,
}


def sample_to_proto(
    sample: engine.Sample, parent_id: str, parts: Iterable[content_pb2.Part] = ()
) -> pb.Sample:
    """`parent_id` is the completion or the group that the sample belongs to."""
    is_truncated = np.count_nonzero(sample.kept_mass_T != 1) > 0
    return pb.Sample(
        sample_id=f"{parent_id}/{sample.sample_index}",
        index=sample.sample_index,
        token_ids=sample.token_ids_T.tolist(),
        logprobs=sample.logprobs_T.tolist(),
        kept_mass=sample.kept_mass_T.tolist() if is_truncated else (),
        support=[pb.Support(ids=[] if s is None else s.tolist()) for s in sample.supports],
        top_logprobs=[top_to_proto(top) for top in sample.top],
        version_spans=[
            pb.VersionSpan(policy_version=s.version, start=s.start, end=s.end) for s in sample.spans
        ],
        finish_reason=_FINISH[sample.finish],
        error=sample.error or "",
        parts=parts,
    )


def top_to_proto(top: engine.TopLogprobs, served: ServedModel | None = None) -> pb.TopLogprobs:
    """With the bytes of each id where a model is given."""
    tokenizer = served.preprocessor.tokenizer if served else None
    return pb.TopLogprobs(
        ids=top.ids,
        logprobs=top.logprobs,
        token_bytes=[tokenizer.token_bytes(i) for i in top.ids] if tokenizer else (),
    )


# Sampled ids, and the stop strings that ended them.
Answer = tuple[Sequence[int], tuple[str, ...]]


class AnswerDecoder:
    """Decodes answers for people, on a thread of its own with one intra-op thread.

    The engine changes its thread count from step to step; pictures must not depend on it.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(
            1, "decoder", initializer=torch.set_num_threads, initargs=(1,)
        )

    async def parts(
        self, served: ServedModel, answers: Sequence[Answer]
    ) -> list[list[content_pb2.Part]]:
        """See `answers_to_parts`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, answers_to_parts, served, answers)

    def close(self) -> None:
        """Waits for what is being decoded."""
        self._executor.shutdown()


def answers_to_parts(
    served: ServedModel, answers: Sequence[Answer]
) -> list[list[content_pb2.Part]]:
    """Each answer (its ids, its stop strings) for people; the pictures of all decode together.

    Text ends before a stop string; a picture that was cut short is left out.
    """
    runs = [served.preprocessor.decode_answer(ids) for ids, _ in answers]
    num_codes = served.grammar.codes_per_image
    whole = [r for rs in runs for r in rs if not isinstance(r, str) and len(r) == num_codes]
    pictures = iter(_pictures(served, whole))
    return [
        [
            content_pb2.Part(text=_before_stop(run, stop))
            if isinstance(run, str)
            else content_pb2.Part(media=medium_to_proto(Picture(next(pictures))))
            for run in answer_runs
            if isinstance(run, str) or len(run) == num_codes
        ]
        for answer_runs, (_, stop) in zip(runs, answers, strict=True)
    ]


def _pictures(served: ServedModel, codes: Sequence[Sequence[int]]) -> list[bytes]:
    """PNG of each list of codes."""
    if not codes:
        return []
    with torch.inference_mode():
        images_N3SS = served.model.vqmodel.decode(torch.tensor(codes))
    pixels_NSS3 = (images_N3SS * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return [encode_png(np.asarray(pixels)) for pixels in pixels_NSS3]


def _before_stop(text: str, stop: tuple[str, ...]) -> str:
    return text[: stop_position(text, stop)]
