"""What the feedback tests put in, and the service that they put it into."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from protos.v1 import content_pb2, judgement_pb2, media_pb2, trajectory_pb2
from protos.v1 import feedback_log_pb2 as pb
from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from services.common.client import aio_channel
from services.common.server import RunningService, running_service
from services.feedback.config import FeedbackConfig
from services.feedback.service import open_servicers


@dataclass(frozen=True)
class Served:
    """A running feedback service and a stub to call it."""

    config: FeedbackConfig
    running: RunningService
    stub: FeedbackLogStub


@asynccontextmanager
async def serving(home: Path, **settings) -> AsyncIterator[Served]:
    """The real service on free ports."""
    config = FeedbackConfig(home=home, port=0, metrics_port=0, **settings)
    async with (
        running_service(config, open_servicers(config)) as running,
        aio_channel(running.address) as channel,
    ):
        yield Served(config, running, FeedbackLogStub(channel))


def png(shade: int = 0, side: int = 8) -> bytes:
    """A small grey picture."""
    file = io.BytesIO()
    Image.new("L", (side, side), shade).save(file, "PNG")
    return file.getvalue()


def picture(data: bytes) -> content_pb2.Part:
    return content_pb2.Part(media=media_pb2.Media(modality=media_pb2.MODALITY_IMAGE, data=data))


def text(words: str) -> content_pb2.Part:
    return content_pb2.Part(text=words)


def prompt(*parts: content_pb2.Part) -> content_pb2.Prompt:
    return content_pb2.Prompt(messages=[{"role": content_pb2.ROLE_USER, "parts": parts}])


def answer(*parts: content_pb2.Part) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=parts)


def item(item_id: str = "i", *prompt_parts: content_pb2.Part, **fields) -> pb.Item:
    """An item with candidates a and b."""
    return pb.Item(
        item_id=item_id,
        prompt=prompt(*prompt_parts or [text("what is it?")]),
        candidates=[
            pb.Candidate(candidate_id="a", answer=answer(text("a cat")), policy_version="p1"),
            pb.Candidate(candidate_id="b", answer=answer(text("a dog")), policy_version="p2"),
        ],
        **{"project": "demo", "split": "train", "task": "vqa"} | fields,
    )


def judgement(key: str, item_id: str = "i", **kind) -> judgement_pb2.Judgement:
    """A judgement by a person; a pair that a wins where no kind is given."""
    pair = {"first_candidate_id": "a", "second_candidate_id": "b", "outcome": 1}
    fields = {"rater_id": "r1", "rater_kind": judgement_pb2.RATER_KIND_PERSON} | kind
    if not set(fields) & {"pair", "rating", "region", "span", "edit", "skip", "flag"}:
        fields["pair"] = pair
    return judgement_pb2.Judgement(idempotency_key=key, item_id=item_id, **fields)


def trajectory(trajectory_id: str = "t", samples: int = 2, **fields) -> trajectory_pb2.Trajectory:
    """An answered request with pictures in prompt and answers."""
    group = trajectory_pb2.Group(
        group_id="g",
        samples=[
            trajectory_pb2.Sample(
                index=i,
                token_ids=[7, 8],
                logprobs=[-0.5, -1.5],
                parts=[text(f"answer {i}"), picture(png(i))],
                finish_reason=trajectory_pb2.FINISH_REASON_STOP,
            )
            for i in range(samples)
        ],
        sampling=trajectory_pb2.SamplingParams(temperature=1.0),
    )
    return trajectory_pb2.Trajectory(
        trajectory_id=trajectory_id,
        prompt=prompt(text("draw"), picture(png(99))),
        group=group,
        **{"policy_version": "p1", "alias": "stable", "tenant": "acme", "created_at_s": 5.0}
        | fields,
    )


async def submit(stub: FeedbackLogStub, *judgements) -> list[pb.JudgementReceipt]:
    """The receipts of one batch."""
    request = pb.SubmitJudgementsRequest(judgements=judgements)
    return list((await stub.SubmitJudgements(request)).receipts)


async def listed(stub: FeedbackLogStub, **query) -> list[judgement_pb2.Judgement]:
    """All judgements that a query finds, over all its pages."""
    found, token = [], ""
    while True:
        request = pb.ListJudgementsRequest(page_token=token, **query)
        answer_ = await stub.ListJudgements(request)
        found.extend(answer_.judgements)
        token = answer_.next_page_token
        if not token:
            return found
