"""The command tree of `attune`."""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from services.cli.commands.bench import bench
from services.cli.commands.chat import chat
from services.cli.commands.demo import demo
from services.cli.commands.down import down
from services.cli.commands.eval import eval_
from services.cli.commands.new import new
from services.cli.commands.pretrain import pretrain
from services.cli.commands.replay import replay
from services.cli.commands.run import run
from services.cli.commands.status import status
from services.cli.commands.up import up
from services.cli.errors import ReportingGroup

app = typer.Typer(
    name="attune",
    cls=ReportingGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_TRY, _TRAIN, _SERVICES = "Try it", "Train and measure", "Services"
app.command(rich_help_panel=_TRY)(demo)
app.command(rich_help_panel=_TRY)(chat)
app.command(rich_help_panel=_TRAIN)(run)
app.command("eval", rich_help_panel=_TRAIN)(eval_)
app.add_typer(new, name="new", rich_help_panel=_TRAIN)
app.add_typer(bench, name="bench", rich_help_panel=_TRAIN)
app.command(rich_help_panel=_TRAIN)(pretrain)
app.command(rich_help_panel=_TRAIN)(replay)
app.command(rich_help_panel=_SERVICES)(up)
app.command(rich_help_panel=_SERVICES)(down)
app.command(rich_help_panel=_SERVICES)(status)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"attune {version('attune')}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
]


@app.callback()
def attune(version: _Version = False) -> None:
    """Improve a multimodal policy from judged answers.

    [bold]First steps[/bold]

      attune demo                     watch the whole loop in ten minutes
      attune up                       start the services and keep them up
      attune chat --image cat.png     talk to the policy
      attune run world_rl             train with the checkers as reward
      attune eval stable run/ID       compare policies on held-out items
      attune new task NAME            bring your own task

    Each command explains itself: attune COMMAND --help
    """
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    """Contexts close on the way out, and with them the services that a command started."""
    sys.exit(128 + number)
