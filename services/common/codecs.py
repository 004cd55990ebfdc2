"""Between the wire (protobuf) and the conversation and manifest types that the code uses."""

from collections.abc import Callable, Iterable

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
from models.preprocessing.media_types import sniff_mime_type
from protos.v1 import content_pb2, media_pb2, versions_pb2
from services.common.errors import InvalidArgument, Unimplemented
from services.common.version_store import Manifest, ManifestFile

_ROLES = {
    content_pb2.ROLE_SYSTEM: Role.SYSTEM,
    content_pb2.ROLE_USER: Role.USER,
    content_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
}
_ROLE_VALUES = {role: value for value, role in _ROLES.items()}
_MEDIA: dict[media_pb2.Modality.ValueType, type[Medium]] = {
    media_pb2.MODALITY_IMAGE: Picture,
    media_pb2.MODALITY_AUDIO: Audio,
    media_pb2.MODALITY_VIDEO: Video,
}
MODALITIES = {medium: value for value, medium in _MEDIA.items()}

# Gives the bytes of a media item that was named by its hash; raises NotFound where it cannot.
MediaResolver = Callable[[str], bytes]


def conversation_from_proto(prompt: content_pb2.Prompt, resolve: MediaResolver) -> Conversation:
    """The prompt as the preprocessor takes it. Raises InvalidArgument for what cannot be one."""
    if not prompt.messages:
        raise InvalidArgument("prompt.messages is empty; give at least one message")
    return tuple(turn_from_proto(message, resolve) for message in prompt.messages)


def turn_from_proto(message: content_pb2.Message, resolve: MediaResolver) -> Turn:
    """One message with its parts."""
    if message.role not in _ROLES:
        raise InvalidArgument("message.role is not set; use system, user or assistant")
    return Turn(_ROLES[message.role], tuple(_part_from_proto(p, resolve) for p in message.parts))


def prompt_to_proto(conversation: Conversation) -> content_pb2.Prompt:
    """The inverse of `conversation_from_proto`; media travel as bytes."""
    return content_pb2.Prompt(messages=[turn_to_proto(turn) for turn in conversation])


def turn_to_proto(turn: Turn) -> content_pb2.Message:
    """The inverse of `turn_from_proto`."""
    return content_pb2.Message(
        role=_ROLE_VALUES[turn.role], parts=[part_to_proto(part) for part in turn.parts]
    )


def part_to_proto(part: Part) -> content_pb2.Part:
    """One part of a message; media travel as bytes."""
    match part:
        case Text(text):
            return content_pb2.Part(text=text)
        case Picture() | Audio() | Video():
            return content_pb2.Part(media=medium_to_proto(part))
        case TokenIds(ids, fingerprint):
            tokens = content_pb2.Tokens(ids=ids, preprocessing_fingerprint=fingerprint)
            return content_pb2.Part(tokens=tokens)


def medium_to_proto(medium: Medium) -> media_pb2.Media:
    """A medium with its encoded bytes."""
    mime_type = sniff_mime_type(medium.data) or ""
    modality = MODALITIES[type(medium)]
    return media_pb2.Media(modality=modality, mime_type=mime_type, data=medium.data)


def medium_from_proto(media: media_pb2.Media, resolve: MediaResolver | None = None) -> Medium:
    """The inverse of `medium_to_proto`; without `resolve`, media named by hash are refused."""
    if media.modality not in _MEDIA:
        raise Unimplemented(
            f"media of modality {_modality_name(media.modality)} are not understood by this "
            "version; image, audio and video are"
        )
    source = media.WhichOneof("source")
    if source is None:
        raise InvalidArgument("media has neither data nor sha256")
    if source == "data":
        return _MEDIA[media.modality](media.data)
    if resolve is None:
        raise InvalidArgument("media are named by hash; send their bytes as data")
    return _MEDIA[media.modality](resolve(media.sha256))


def _part_from_proto(part: content_pb2.Part, resolve: MediaResolver) -> Part:
    kind = part.WhichOneof("kind")
    if kind == "text":
        return Text(part.text)
    if kind == "tokens":
        return TokenIds(tuple(part.tokens.ids), part.tokens.preprocessing_fingerprint)
    if kind == "media":
        return medium_from_proto(part.media, resolve)
    raise InvalidArgument("a part is empty; set text, media or tokens")


def _modality_name(modality: media_pb2.Modality.ValueType) -> str:
    known = modality in media_pb2.Modality.values()  # an open enum: a newer client may send more
    name = media_pb2.Modality.Name(modality) if known else str(modality)
    return name.removeprefix("MODALITY_").lower()


def manifest_to_proto(manifest: Manifest) -> versions_pb2.Manifest:
    """The manifest on the wire."""
    return versions_pb2.Manifest(
        version=manifest.version,
        kind=manifest.kind,
        files=[versions_pb2.ManifestFile(**f.model_dump()) for f in manifest.files],
        metadata=manifest.metadata,
        preprocessing_fingerprint=manifest.preprocessing_fingerprint,
    )


def manifest_from_proto(manifest: versions_pb2.Manifest) -> Manifest:
    """The inverse of `manifest_to_proto`."""
    return Manifest(
        version=manifest.version,
        kind=manifest.kind,
        files=tuple(_manifest_files(manifest.files)),
        metadata=dict(manifest.metadata),
        preprocessing_fingerprint=manifest.preprocessing_fingerprint,
    )


def _manifest_files(files: Iterable[versions_pb2.ManifestFile]) -> Iterable[ManifestFile]:
    for file in files:
        if file.name in ("", ".", "..") or "/" in file.name or not file.name.isprintable():
            raise InvalidArgument(f"file name {file.name!r} of a manifest must be a plain name")
        yield ManifestFile(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256)
