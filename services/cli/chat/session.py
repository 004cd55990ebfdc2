"""What is said in a chat: turns, the attached media, and answers as they stream."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from models.preprocessing.conversation import Medium, Picture, Role, Text, Turn
from protos.v1 import content_pb2, policy_generator_pb2, trajectory_pb2, versions_pb2
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.cli.errors import UserError
from services.common.codecs import prompt_to_proto, turn_from_proto
from services.common.errors import NotFound


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer as it arrives: text, or a whole picture."""

    text: str = ""
    picture: bytes | None = None


@dataclass
class ChatSession:
    """One conversation. Without `has_memory` each question is asked by itself.

    Media that are attached together go with a question, in order. A conversation with memory then
    holds them; without it they go with each question until others are attached.
    """

    policy: PolicyGeneratorStub
    model: versions_pb2.ModelRef
    temperature: float
    max_tokens: int
    has_memory: bool
    seed: int | None = None
    turns: list[Turn] = field(default_factory=list)
    attached: list[Medium] = field(default_factory=list)
    _was_asked_about: bool = False  # what is attached

    def attach(self, medium: Medium) -> None:
        """Adds a medium to those of the next question, or begins anew after one."""
        if self._was_asked_about:
            self.detach()
        self.attached.append(medium)

    def detach(self) -> None:
        """Asks about no media from now on."""
        self.attached.clear()
        self._was_asked_about = False

    def forget(self) -> None:
        """Begins a new conversation."""
        self.turns.clear()

    def ask(self, text: str, draw: bool = False) -> Iterator[Piece]:
        """The answer, piece by piece; the turn is remembered once it is whole."""
        media = () if draw else tuple(self.attached)
        question = Turn(Role.USER, (*media, Text(text)))
        past = self.turns if self.has_memory else []
        request = self._request((*past, question), draw)
        for response in self.policy.Generate(request):
            match response.WhichOneof("event"):
                case "delta" if response.delta.text:
                    yield Piece(text=response.delta.text)
                case "finished":
                    yield from self._finish(question, response.finished)

    def _request(
        self, conversation: tuple[Turn, ...], draw: bool
    ) -> policy_generator_pb2.GenerateRequest:
        modality = (
            trajectory_pb2.OUTPUT_MODALITY_IMAGE if draw else trajectory_pb2.OUTPUT_MODALITY_TEXT
        )
        return policy_generator_pb2.GenerateRequest(
            request_id=f"chat-{uuid4().hex}",
            model=self.model,
            prompt=prompt_to_proto(conversation),
            sampling=trajectory_pb2.SamplingParams(
                temperature=self.temperature,
                max_tokens=None if draw else self.max_tokens,
                seed=self.seed,
                output=modality,
            ),
            stream_deltas=True,
        )

    def _finish(self, question: Turn, sample: trajectory_pb2.Sample) -> Iterator[Piece]:
        if sample.finish_reason == trajectory_pb2.FINISH_REASON_FAILED:
            raise UserError(f"the answer failed: {sample.error}")
        message = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=sample.parts)
        answer = turn_from_proto(message, _no_media_by_hash)
        yield from (Piece(picture=p.data) for p in answer.parts if isinstance(p, Picture))
        self.turns += [question, answer]
        self._was_asked_about |= len(question.parts) > 1
        if self._was_asked_about and self.has_memory:
            self.detach()


def _no_media_by_hash(sha256: str) -> bytes:
    raise NotFound(f"the answer names media {sha256} by hash")
