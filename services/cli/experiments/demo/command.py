"""`attune demo`: the story, and then the services stay up to look around."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from services.cli.experiments.demo.settings import DemoSettings
from services.cli.experiments.demo.story import run_demo
from services.cli.experiments.stages import read_settings
from services.cli.runs.recipes import find_recipe, override, parse_overrides
from services.cli.stack.connection import Place, connected
from services.cli.terminal import messages


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """What the user asked for."""

    exit: bool
    minutes: float
    settings: tuple[str, ...]
    json: Path | None


def demo_command(asked: DemoRequest, place: Place) -> None:
    """Tells the story on the services that are up, or on its own, and keeps serving."""
    values = override(find_recipe("demo").values, parse_overrides(asked.settings))
    values.pop("experiment", None)
    settings = read_settings(DemoSettings, values, "demo").scaled_to(asked.minutes)
    with connected(place) as services:
        run_demo(services, settings, asked.json)
        if services.ready_s is None or asked.exit:
            return
        messages().print(f"serving at {services.gateway_url}  [dim]Ctrl-C stops[/]")
        try:
            Event().wait()
        except KeyboardInterrupt:
            messages().print("stopping")
