"""Media to ask about: named by a command or dropped on the terminal, and how they are shown."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from rich.text import Text

from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.media_types import HEAD_BYTES, sniff_mime_type
from services.cli.chat.picture import picture_text
from services.cli.errors import UserError
from services.common.media_facts import clip_frames, recording_seconds

COMMANDS: dict[str, type[Medium]] = {"/image": Picture, "/audio": Audio, "/video": Video}
_NAMES: dict[type[Medium], str] = {Picture: "picture", Audio: "recording", Video: "clip"}
_KINDS: dict[str, type[Medium]] = {"image": Picture, "audio": Audio, "video": Video}


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file, and what it is taken for."""

    kind: type[Medium]
    path: Path

    def read(self) -> Medium:
        """Raises UserError where there is no such file."""
        if not self.path.is_file():
            raise UserError(f"there is no {_NAMES[self.kind]} {self.path}")
        return self.kind(self.path.read_bytes())


def dropped_files(line: str) -> list[MediaFile]:
    """What a terminal writes when files are dropped on it: paths or file URLs, quoted or escaped.

    Empty unless the whole line names media that are there; then it is something that is said.
    """
    try:
        paths = [_path(word) for word in shlex.split(line)]
    except ValueError:  # an apostrophe that is not closed
        return []
    kinds = [_kind_of(path) for path in paths]
    files = [MediaFile(kind, path) for kind, path in zip(kinds, paths, strict=True) if kind]
    return files if len(files) == len(paths) else []


def named_file(command: str, words: str) -> MediaFile:
    """The file of a command; its path may be as a terminal writes it when it is dropped there."""
    dropped = dropped_files(words)
    return MediaFile(COMMANDS[command], dropped[0].path if len(dropped) == 1 else Path(words))


def shown(medium: Medium, name: str) -> Text:
    """A picture as block characters; a recording or a clip in words, with its length if known.

    Raises UserError for a picture that cannot be read.
    """
    match medium:
        case Picture(data):
            try:
                return picture_text(data)
            except (OSError, SyntaxError, ValueError) as error:
                raise UserError(f"{name} cannot be read as a picture: {error}") from error
        case Audio(data):
            seconds = recording_seconds(data)
            length = "" if seconds is None else f", {seconds:.1f} s"
        case Video(data):
            num_frames = clip_frames(data)
            length = "" if num_frames is None else f", {num_frames} frames"
    return Text(f"{_NAMES[type(medium)]} {name}{length}\n", style="dim")


def _path(word: str) -> Path:
    is_url = word.startswith("file://")
    return Path(unquote(word.removeprefix("file://")) if is_url else word)


def _kind_of(path: Path) -> type[Medium] | None:
    """By the first bytes; a GIF is a clip."""
    try:
        with path.open("rb") as file:
            mime_type = sniff_mime_type(file.read(HEAD_BYTES))
    except (OSError, ValueError):  # no file, or what no path can be
        return None
    if mime_type == "image/gif":
        return Video
    return _KINDS[mime_type.partition("/")[0]] if mime_type else None
