"""`attune chat`: a conversation in the terminal."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import DEFAULT_HOME, DEFAULT_PORT_BASE, Home, PortBase


def chat(
    model: Annotated[str, typer.Argument(metavar="ALIAS", help="Alias or version.")] = "stable",
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", "-i", metavar="FILE", help="A picture to ask about; repeatable."),
    ] = None,
    audio: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A recording; repeatable.")
    ] = None,
    video: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A clip; repeatable.")
    ] = None,
    message: Annotated[
        list[str] | None,
        typer.Option("--message", "-m", metavar="TEXT", help="Ask this and leave; repeatable."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0, max=10, help="0 always takes the likeliest word.")
    ] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one answer.")] = 96,
    seed: Annotated[int | None, typer.Option(min=0, help="Gives the same answers again.")] = None,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory",
            help="Send earlier turns too; the shipped policy knows single questions only.",
        ),
    ] = False,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Talk to a policy in the terminal about pictures, recordings and clips.

    Reads questions from the prompt, from -m, or from a pipe. Files that are
    dropped on the prompt are attached. Pictures that the policy draws are shown
    and saved under HOME/chat.

    [bold]Examples[/bold]

      attune chat
      attune chat --image scene.png -m "what shape is the red thing?"
      attune chat --audio question.wav --image scene.png -m "answer it."
      attune chat run/ID -m "/draw draw a red circle left of a blue square."
    """
    from services.cli.chat.attachments import COMMANDS, MediaFile
    from services.cli.chat.command import ChatRequest, chat_command
    from services.cli.stack.connection import Place

    given = {"/image": image, "/audio": audio, "/video": video}
    media = tuple(
        MediaFile(COMMANDS[name], path) for name, paths in given.items() for path in paths or ()
    )
    asked = ChatRequest(model, media, tuple(message or ()), temperature, max_tokens, seed, memory)
    chat_command(asked, Place(home, port_base))
