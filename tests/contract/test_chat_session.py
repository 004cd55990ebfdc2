"""What `attune chat` sends to the policy: attached media in order, and what is kept of them."""

from collections.abc import Iterator

import pytest

from models.preprocessing.conversation import Audio, Conversation, Picture, Text, Video
from protos.v1 import policy_generator_pb2 as pb
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from protos.v1.versions_pb2 import ModelRef
from services.cli.chat.session import ChatSession
from services.common.client import sync_channel
from services.common.codecs import conversation_from_proto
from tests.support.pictures import png
from tests.support.sound_and_clips import moving_square, tone

PICTURE, RECORDING, CLIP = Picture(png()), Audio(tone()), Video(moving_square(2))


class Listener:
    """Passes requests on to the policy and remembers their conversations."""

    def __init__(self, stub: PolicyGeneratorStub) -> None:
        self._stub = stub
        self.heard: list[Conversation] = []

    def Generate(self, request: pb.GenerateRequest) -> Iterator[pb.GenerateResponse]:
        self.heard.append(conversation_from_proto(request.prompt, str.encode))
        return self._stub.Generate(request)


@pytest.fixture
def listener(policy_service) -> Iterator[Listener]:
    with sync_channel(policy_service.address) as channel:
        yield Listener(PolicyGeneratorStub(channel))


def session_of(listener: Listener, has_memory: bool) -> ChatSession:
    return ChatSession(listener, ModelRef(alias="stable"), 0.0, 4, has_memory, seed=1)


def ask(session: ChatSession, text: str, draw: bool = False) -> None:
    for _ in session.ask(text, draw):
        pass


def last_parts(listener: Listener) -> tuple:
    return listener.heard[-1][-1].parts


def test_media_go_with_each_question_in_order_until_others_are_attached(listener):
    session = session_of(listener, has_memory=False)
    for medium in (RECORDING, PICTURE, CLIP):
        session.attach(medium)
    for question in ("what is it?", "and why?"):
        ask(session, question)
        assert len(listener.heard[-1]) == 1
        assert last_parts(listener) == (RECORDING, PICTURE, CLIP, Text(question))
    session.attach(PICTURE)
    ask(session, "what is it?")
    assert last_parts(listener) == (PICTURE, Text("what is it?"))
    session.detach()
    ask(session, "what is it?")
    assert last_parts(listener) == (Text("what is it?"),)


def test_with_memory_a_later_question_still_has_the_earlier_media_before_it(listener):
    session = session_of(listener, has_memory=True)
    session.attach(PICTURE)
    ask(session, "what is it?")
    session.attach(RECORDING)
    ask(session, "is this about it?")
    ask(session, "what was in the picture?")
    first, _, second, _, third = listener.heard[-1]
    assert first.parts == (PICTURE, Text("what is it?"))
    assert second.parts == (RECORDING, Text("is this about it?"))
    assert third.parts == (Text("what was in the picture?"),)


def test_a_drawing_leaves_what_is_attached_for_the_question_after_it(listener):
    session = session_of(listener, has_memory=True)
    session.attach(CLIP)
    ask(session, "draw a red circle.", draw=True)
    assert last_parts(listener) == (Text("draw a red circle."),)
    ask(session, "how does it move?")
    assert last_parts(listener) == (CLIP, Text("how does it move?"))


def test_a_refused_question_leaves_what_is_attached(listener):
    session = session_of(listener, has_memory=True)
    session.attach(Picture(b"not a picture"))
    with pytest.raises(Exception, match="not a picture"):
        ask(session, "what is it?")
    assert session.turns == []
    assert session.attached == [Picture(b"not a picture")]
