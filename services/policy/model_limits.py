"""What a version takes and gives, as callers are told, and the refusal of what it does not take."""

from collections.abc import Iterator

from models.preprocessing.conversation import Audio, Conversation, Medium, Picture, Video
from models.preprocessing.log_mel import HOP_S
from models.preprocessing.preprocessor_config import PreprocessorConfig
from protos.v1 import media_pb2, versions_pb2
from services.common.codecs import MODALITIES
from services.common.errors import InvalidArgument
from services.policy.engine.served_model import ServedModel

_NAMES: dict[type[Medium], str] = {Picture: "pictures", Audio: "audio", Video: "video"}


def model_limits(served: ServedModel) -> versions_pb2.ModelLimits:
    """The limits on the wire; `audio` and `video` are there if the model has those towers, and
    counts of pictures are 0 for a model that sees or draws none."""
    config, preprocessor = served.model.config, served.preprocessor.config
    return versions_pb2.ModelLimits(
        context_tokens=served.context_tokens,
        text_vocabulary_size=config.decoder.vocab_size,
        image_codebook_size=config.codebook_size,
        tokens_per_output_image=config.codes_per_image,
        max_input_tiles=preprocessor.max_tiles if preprocessor.patches_per_tile else 0,
        input_modalities=[
            media_pb2.MODALITY_TEXT,
            *(MODALITIES[medium] for medium in _taken(preprocessor)),
        ],
        output_modalities=[
            media_pb2.MODALITY_TEXT,
            *([] if config.vq is None else [media_pb2.MODALITY_IMAGE]),
        ],
        output_image_side=0 if config.vq is None else config.vq.image_size,
        audio=_audio_limits(preprocessor),
        video=_video_limits(preprocessor),
    )


def check_modalities(conversation: Conversation, served: ServedModel) -> None:
    """Raises InvalidArgument that names the first medium which the model does not take."""
    taken = list(_taken(served.preprocessor.config))
    for i, turn in enumerate(conversation):
        for j, part in enumerate(turn.parts):
            if isinstance(part, Medium) and type(part) not in taken:
                known = ", ".join(["text", *(_NAMES[medium] for medium in taken)])
                raise InvalidArgument(
                    f"model {served.version} takes no {_NAMES[type(part)]}, which is part {j} of"
                    f" message {i}; it takes {known}"
                )


def _taken(config: PreprocessorConfig) -> Iterator[type[Medium]]:
    if config.patches_per_tile:
        yield Picture
    if config.audio is not None:
        yield Audio
    if config.video is not None:
        yield Video


def _audio_limits(config: PreprocessorConfig) -> versions_pb2.AudioLimits | None:
    if config.audio is None:
        return None
    return versions_pb2.AudioLimits(
        seconds_per_token=config.audio.frames_per_token * HOP_S,
        seconds_per_window=config.audio.window_frames * HOP_S,
    )


def _video_limits(config: PreprocessorConfig) -> versions_pb2.VideoLimits | None:
    if config.video is None:
        return None
    return versions_pb2.VideoLimits(
        max_frames=config.video.max_frames, tokens_per_frame=config.video.tokens_per_frame
    )
