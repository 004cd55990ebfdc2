"""Questions about scenes, one maker per kind, with answers balanced so that guessing does not pay.

A maker is given the answer to aim at, where its kind has few answers, and gives None when the
scene cannot bear it; the caller then tries another scene. Kinds without such answers are balanced
because scenes are sampled alike in all colors and shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from services.common.world.language import phrases_of
from services.common.world.sampling import Level, SceneSource
from services.common.world.scenes import COLORS, OPPOSITE, SHAPES, SIZES, Scene

YES_NO = ("yes", "no")

# (scene, random stream, wanted answer) -> (question, answer)
Maker = Callable[[Scene, Random, str], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class QuestionKind:
    """A maker, the fewest things that it needs, and the answers it is to give equally often."""

    make: Maker
    min_count: int = 1
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a kind about a scene, with its answer."""

    scene: Scene
    kind: str
    question: str
    answer: str


def ask(scenes: SceneSource) -> Asked:
    """A question about the next scene that can bear it, its kind and answer drawn evenly."""
    kinds = question_kinds(scenes.level)
    name = scenes.rng.choice(list(kinds))
    kind = kinds[name]
    wanted = scenes.rng.choice(kind.answers) if kind.answers else ""
    counts = range(kind.min_count, scenes.level.max_count + 1)
    while True:
        scene = scenes.next(scenes.rng.choice(counts))
        asked = kind.make(scene, scenes.rng, wanted)
        if asked is not None:
            return Asked(scene, name, *asked)


def question_kinds(level: Level) -> dict[str, QuestionKind]:
    """The kinds that a level asks."""
    kinds = {
        "color": QuestionKind(ask_color),
        "shape": QuestionKind(ask_shape),
        "exists": QuestionKind(ask_exists, answers=YES_NO),
    }
    if level.max_count >= 2:
        counts = tuple(str(count) for count in range(1, level.max_count + 1))
        kinds["count"] = QuestionKind(ask_count, answers=counts)
        kinds["relation"] = QuestionKind(ask_relation, 2, YES_NO)
        kinds["which"] = QuestionKind(ask_which, 2)
    if level.names_sizes:
        kinds["size"] = QuestionKind(ask_size, answers=SIZES)
        kinds["same"] = QuestionKind(ask_same, 2, YES_NO)
    return kinds


def ask_color(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """The color of the only thing of its shape."""
    shapes = [thing.shape for thing in scene.things]
    unique = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if not unique:
        return None
    thing = rng.choice(unique)
    return f"what color is the {thing.shape}?", thing.color


def ask_shape(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """The shape of the thing of a color."""
    thing = rng.choice(scene.things)
    return f"what shape is the {thing.color} thing?", thing.shape


def ask_exists(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """Whether a thing is there; when not, one that shares its color or its shape is."""
    thing = rng.choice(scene.things)
    color, shape = thing.color, thing.shape
    if wanted == "no":
        if rng.random() < 0.5:
            shape = rng.choice([other for other in SHAPES if other != shape])
        else:
            taken = {other.color for other in scene.things}
            color = rng.choice([other for other in COLORS if other not in taken])
    return f"is there a {color} {shape}?", wanted


def ask_count(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """How many things there are."""
    if len(scene.things) != int(wanted):
        return None
    return "how many things are there?", wanted


def ask_relation(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """Whether one thing lies to another as said; when not, it is the other way round."""
    first, relation, second = rng.choice(scene.relations())
    if rng.random() < 0.5:
        first, relation, second = second, OPPOSITE[relation], first
    said = relation if wanted == "yes" else OPPOSITE[relation]
    names = [phrase.name for phrase in phrases_of(scene)]
    return f"is the {names[first]} {said} the {names[second]}?", wanted


def ask_which(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """Which thing lies so to another; only where one does."""
    relations = scene.relations()
    turned = [(j, OPPOSITE[relation], i) for i, relation, j in relations]
    first, relation, second = rng.choice(relations + turned)
    names = [phrase.name for phrase in phrases_of(scene)]
    return f"what is {relation} the {names[second]}?", names[first]


def ask_size(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """The size of a thing."""
    fitting = [thing for thing in scene.things if thing.size == wanted]
    if not fitting:
        return None
    thing = rng.choice(fitting)
    return f"what size is the {thing.color} {thing.shape}?", wanted


def ask_same(scene: Scene, rng: Random, wanted: str) -> tuple[str, str] | None:
    """Whether two things are of one shape."""
    first, second = rng.sample(scene.things, 2)
    if (first.shape == second.shape) != (wanted == "yes"):
        return None
    return f"are the {first.color} and the {second.color} thing of the same shape?", wanted
