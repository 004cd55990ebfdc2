"""`attune chat`: reads questions, prints answers as they come."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from services.cli.chat.attachments import MediaFile, dropped_files, named_file, shown
from services.cli.chat.picture import picture_text, save_picture
from services.cli.chat.session import ChatSession
from services.cli.errors import UserError, explain
from services.cli.evaluation.scorecard import model_ref
from services.cli.stack.connection import Place, connected
from services.cli.terminal import messages, results

_HELP = (
    "/draw WORDS    answer with a picture\n"
    "/image FILE    ask about this picture; /audio FILE and /video FILE likewise, or drop files\n"
    "               here. Those attached together go with each question until others are;\n"
    "               with --memory once, and the conversation holds them. Alone: take them away\n"
    "/new           begin a new conversation\n"
    "/quit          leave (or Ctrl-D)"
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the user asked for."""

    model: str
    media: tuple[MediaFile, ...]
    messages: tuple[str, ...]
    temperature: float
    max_tokens: int
    seed: int | None
    memory: bool


def chat_command(asked: ChatRequest, place: Place) -> None:
    """Chats until the end of the questions."""
    with connected(place) as services:
        session = ChatSession(
            services.policy,
            model_ref(asked.model),
            asked.temperature,
            asked.max_tokens,
            asked.memory,
            seed=asked.seed,
        )
        out = results()
        folder = services.state.home / "chat"
        is_prompted = not asked.messages and sys.stdin.isatty()
        if is_prompted:
            messages().print(f"[bold]{asked.model}[/]  [dim]/help lists what else you can say[/]")
        _attach(session, asked.media, is_shown=is_prompted)
        for line in _lines(asked.messages, is_prompted):
            if line == "/quit":
                return
            _survive(session, line, out, folder, is_prompted)


def _lines(given: tuple[str, ...], is_prompted: bool) -> Iterator[str]:
    if given:
        yield from given
        return
    while True:
        try:
            line = messages().input("[bold cyan]>[/] ") if is_prompted else input()
        except (EOFError, KeyboardInterrupt):
            return
        if line.strip():
            yield line.strip()


def _survive(
    session: ChatSession, line: str, out: Console, folder: Path, is_prompted: bool
) -> None:
    """At a prompt, a mistake or Ctrl-C ends the answer and not the chat."""
    try:
        _take(session, line, out, folder)
    except KeyboardInterrupt:
        if not is_prompted:
            raise
        out.print()
    except Exception as error:
        explained = explain(error)
        if not is_prompted or explained is None:
            raise
        messages().print(str(explained), style="red", markup=False)


def _take(session: ChatSession, line: str, out: Console, folder: Path) -> None:
    command, _, rest = line.partition(" ")
    match command:
        case "/help":
            messages().print(_HELP)
        case "/new":
            session.forget()
        case "/image" | "/audio" | "/video" if rest:
            _attach(session, [named_file(command, rest)])
        case "/image" | "/audio" | "/video":
            session.detach()
        case "/draw":
            _answer(session, rest, True, out, folder)
        case _ if files := dropped_files(line):
            _attach(session, files)
        case _ if command.startswith("/"):
            raise UserError(f"there is no {command}", "/help lists what there is")
        case _:
            _answer(session, line, False, out, folder)


def _attach(session: ChatSession, files: Sequence[MediaFile], is_shown: bool = True) -> None:
    for file in files:
        medium = file.read()
        if is_shown:
            messages().print(shown(medium, file.path.name), end="")
        session.attach(medium)


def _answer(session: ChatSession, text: str, draw: bool, out: Console, folder: Path) -> None:
    has_text = False
    for piece in session.ask(text, draw):
        if piece.text:
            out.print(piece.text, end="", markup=False, soft_wrap=True)
            out.file.flush()
            has_text = True
        if piece.picture is not None:
            path = save_picture(piece.picture, folder, f"{time.time_ns():x}")
            if out.is_terminal:
                out.print(picture_text(piece.picture), end="")
            out.print(f"{path}", soft_wrap=True)
    if has_text:
        out.print()
