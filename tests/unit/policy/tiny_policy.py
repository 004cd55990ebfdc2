"""A tiny random model and an engine of it, shared by the policy service's tests."""

import io
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from models.attention import DenseAttention
from models.checkpoint import Checkpoint, preprocessing_of
from models.config import (
    AudioConfig,
    DecoderConfig,
    GenerationConfig,
    ImageTokenizerConfig,
    OmniConfig,
    VideoConfig,
    VisionConfig,
)
from models.grammar import Kind
from models.media import MediaTensors
from models.omni import OmniModel
from models.preprocessing.audio import encode_wav
from models.preprocessing.conversation import (
    Audio,
    Conversation,
    Picture,
    Role,
    Text,
    Turn,
    Video,
)
from models.preprocessing.encoded_prompt import EncodedPrompt
from models.preprocessing.images import encode_png
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.policy.engine.engine import Engine
from services.policy.engine.limits import EngineLimits
from services.policy.engine.request import Event, Group, Job, OutputMode, Sample, Sampling, Token
from services.policy.engine.served_model import ServedModel, served_model
from services.policy.engine.step_result import StepResult

CONFIG = OmniConfig(
    decoder=DecoderConfig(
        vocab_size=300, width=32, num_layers=2, head_size=16, num_heads=2, num_kv_heads=1,
        mlp_width=48, max_length=256,
    ),
    vision=VisionConfig(tile_size=16, width=32, num_layers=1, num_heads=2, mlp_width=32),
    audio=AudioConfig(
        num_mels=16, window_frames=80, width=32, num_layers=1, num_heads=2, mlp_width=32
    ),
    video=VideoConfig(time_width=4),
    vq=ImageTokenizerConfig(image_size=16, channels=(8, 8), norm_groups=4, codebook_size=64),
    generation=GenerationConfig(embedding_width=8),
)  # fmt: skip
NUM_CODES = CONFIG.vq.codes_per_image
VOCAB_SIZE = CONFIG.decoder.vocab_size


def make_preprocessor() -> Preprocessor:
    words = ["a red circle above a blue square", "what colour is it?", "draw: yes, no"]
    tokenizer = Tokenizer.train(words * 3, vocab_size=VOCAB_SIZE)
    return Preprocessor(preprocessing_of(CONFIG), tokenizer)


def make_model(seed: int = 1) -> OmniModel:
    """Random weights, with heads scaled so that distributions are far from uniform."""
    model = OmniModel(CONFIG, seed=seed)
    with torch.no_grad():
        model.lm_head.weight *= 2
        model.generation_head.vision_head.weight *= 2
    return model.eval()


def make_served(preprocessor: Preprocessor, seed: int = 1) -> ServedModel:
    return served_model(f"policy-{seed}", Checkpoint(make_model(seed), preprocessor))


def question(text: str, picture_seed: int | None = None) -> Conversation:
    """One user turn, with a random picture if a seed is given."""
    parts: list[Text | Picture] = [Text(text)]
    if picture_seed is not None:
        parts.insert(0, Picture(random_png(picture_seed)))
    return (Turn(Role.USER, tuple(parts)),)


def heard_and_seen(text: str, seed: int) -> Conversation:
    """Two user turns: a recording with a clip, then a picture with the text."""
    recording = encode_wav(
        np.random.default_rng(seed).normal(size=9_000).clip(-1, 1).astype(np.float32), 16_000
    )
    first, *rest = [Image.open(io.BytesIO(random_png(seed + i))) for i in range(3)]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=100)
    heard = Turn(Role.USER, (Audio(recording), Video(file.getvalue())))
    return (heard, Turn(Role.USER, (Picture(random_png(seed)), Text(text))))


def random_png(seed: int, side: int = 16) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode_png(pixels)


def make_group(
    served: ServedModel,
    text: str = "what colour?",
    picture_seed: int | None = None,
    num_samples: int = 1,
    index: int = 0,
    **sampling: object,
) -> Group:
    resolved = Sampling(**{"max_tokens": NUM_CODES + 1, "seed": 7, **sampling})  # type: ignore[arg-type]
    prompt = served.preprocessor.encode(
        question(text, picture_seed), begin_image=resolved.output is OutputMode.IMAGE
    )
    return Group(index, prompt, resolved, num_samples)


@dataclass
class Observer:
    """Keeps what the engine reports."""

    steps: list[StepResult] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def on_step(self, duration_s: float, result: StepResult) -> None:
        self.steps.append(result)

    def on_first_token(self, job: Job) -> None: ...

    def on_sample(self, job: Job, sample: Sample) -> None:
        self.samples.append(sample)

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)


@contextmanager
def running_engine(limits: EngineLimits = EngineLimits()) -> Iterator[Engine]:
    engine = Engine(limits, Observer())
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


class Inbox:
    """A job's sink, read by the test's thread."""

    def __init__(self) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self.tokens: list[Token] = []
        self.samples: dict[tuple[int, int], Sample] = {}

    def __call__(self, events: list[Event]) -> None:
        for event in events:
            self._events.put(event)

    def wait_token(self) -> Token:
        """The next token; other events are kept."""
        while not isinstance(event := self._take(), Token):
            pass
        return event

    def wait_samples(self, count: int) -> list[Sample]:
        """All samples of a job, by group and index."""
        while len(self.samples) < count:
            self._take()
        return [self.samples[key] for key in sorted(self.samples)]

    def _take(self) -> Event:
        event = self._events.get(timeout=20)
        if isinstance(event, Token):
            self.tokens.append(event)
        else:
            self.samples[event.group_index, event.sample_index] = event
        return event


def submit(
    engine: Engine, served: ServedModel, groups: Sequence[Group], **job: object
) -> tuple[Job, Inbox]:
    inbox = Inbox()
    made = Job("job", served, tuple(groups), inbox, **job)  # type: ignore[arg-type]
    engine.submit(made)
    return made, inbox


def generate(
    engine: Engine, served: ServedModel, groups: Sequence[Group], **job: object
) -> list[Sample]:
    """Submits and waits."""
    made, inbox = submit(engine, served, groups, **job)
    return inbox.wait_samples(made.num_samples)


def dense_logits(
    served: ServedModel, prompt: EncodedPrompt, answer: Sequence[int]
) -> tuple[torch.Tensor, list[Kind]]:
    """Logits before each answer token by one dense pass, padded to [T, V], and their kinds."""
    model, ids = served.model, [*prompt.token_ids.tolist(), *answer]
    with torch.inference_mode():
        features = model.encode_media(MediaTensors.from_arrays(prompt.media))
        hidden = model.decode(
            model.embed(torch.tensor([ids]), features),
            torch.arange(len(ids))[None],
            DenseAttention(),
        )[0, len(prompt.token_ids) - 1 : -1]
    grammar, start = served.grammar, len(prompt.token_ids)
    kinds = [grammar.next_kind(ids[: start + step]) for step in range(len(answer))]
    rows = [
        model.text_logits(h) if kind is Kind.TEXT else model.image_logits(h)
        for h, kind in zip(hidden, kinds, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, True, -torch.inf), kinds
