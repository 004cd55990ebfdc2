"""Recipes by name or by path, and `--set` overrides.

Shipped recipes are package data of the wheel (services/cli/recipes); in a checkout they lie in
deploy/recipes. A recipe with a top-level `experiment` is driven from here, the others are runs.
"""

import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.errors import UserError

_PACKAGED = Path(__file__).parent.parent / "recipes"
_CHECKOUT = Path(__file__).parents[3] / "deploy" / "recipes"
_FILE_FIELDS = ("data.path", "reward.user_scorer.file")


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe's text and where its relative paths start."""

    path: Path
    text: str

    @property
    def folder(self) -> Path:
        """Where relative paths in it start."""
        return self.path.parent

    @property
    def values(self) -> dict[str, Any]:
        """Its fields. Raises UserError where it is not TOML."""
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{self.path} is not valid TOML: {error}") from error

    @property
    def experiment(self) -> str | None:
        """The experiment that it configures; None for a plain run."""
        name = self.values.get("experiment")
        return None if name is None else str(name)


def recipes_folder() -> Path:
    """Where the shipped recipes are."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def shipped_recipes() -> dict[str, Path]:
    """Shipped recipes by name."""
    return {path.stem: path for path in sorted(recipes_folder().glob("*.toml"))}


def runnable_recipes() -> list[str]:
    """Names of shipped recipes, without those that are stages of an experiment."""
    shipped = shipped_recipes()
    experiments = [
        n for n, path in shipped.items() if RecipeFile(path, path.read_text()).experiment
    ]
    return [n for n in shipped if not any(n.startswith(f"{e}_") for e in experiments)]


def find_recipe(name: str) -> RecipeFile:
    """The recipe of a shipped name, or of a path. Raises UserError, naming what is like it."""
    path = Path(name)
    if path.is_dir():
        path = path / "recipe.toml"
    if path.suffix == ".toml" and path.is_file():
        return RecipeFile(path.absolute(), path.read_text())
    shipped = shipped_recipes()
    if name in shipped:
        return RecipeFile(shipped[name], shipped[name].read_text())
    if path.suffix == ".toml" or "/" in name:
        raise UserError(f"there is no recipe file {name}")
    raise UserError(f"there is no recipe named {name!r}", _suggestion(name))


def parse_overrides(settings: Iterable[str]) -> dict[str, str]:
    """ "section.field=value" to a map; files are as the shell sees them, made absolute.

    Raises UserError for one of another form.
    """
    overrides = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or not field.strip():
            raise UserError(f"--set {setting!r} is not field=value", "--set optimizer.eps=1e-8")
        is_file = field.strip() in _FILE_FIELDS
        overrides[field.strip()] = str(Path(value.strip()).absolute()) if is_file else value.strip()
    return overrides


def override(values: dict[str, Any], overrides: dict[str, str]) -> dict[str, Any]:
    """A copy of a recipe's values with the overrides in; a bare word is taken as a string."""
    merged = _deep_copy(values)
    for key, value in overrides.items():
        *sections, field = key.split(".")
        table = merged
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise UserError(f"--set {key}: {section!r} is a field, not a section")
        table[field] = _toml_value(value)
    return merged


def _toml_value(value: str) -> object:
    try:
        parsed: object = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
    return parsed


def _deep_copy(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, dict) else v for k, v in values.items()}


def _suggestion(name: str) -> str:
    shipped = runnable_recipes()
    close = difflib.get_close_matches(name, shipped, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"one of {', '.join(shipped) or '(none shipped)'}, or a path to a .toml file"
