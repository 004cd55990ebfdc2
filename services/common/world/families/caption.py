"""caption: a picture is described in one sentence.

The score is the F1 of the facts that the sentence states: each thing (color and shape), its size
where the level tells sizes, and one relation fewer than there are things.
"""

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, SceneReference, f1, text_of
from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise, reference_of, user
from services.common.world.language import (
    Phrase,
    Statement,
    read_sentence,
    sentence_of,
)
from services.common.world.sampling import SceneSource
from services.common.world.scenes import OPPOSITE, Relation

PROMPTS = ("describe the picture.", "what does the picture show?", "write a caption.")

Fact = tuple[str, ...]


def compose(scenes: SceneSource) -> Exercise:
    """A picture to describe."""
    scene = scenes.next()
    return Exercise(
        prompt=(user(draw_scene(scene), scenes.rng.choice(PROMPTS)),),
        target_text=sentence_of(scene),
        reference=reference_of(scene, scene.relations()),
    )


def check_answer(reference: SceneReference, answer: Turn) -> CheckResult:
    """F1 over facts; 0 when it is not a sentence of the world. A statement that adds nothing new
    counts as a wrong fact, and relations beyond those wanted earn nothing."""
    text = text_of(answer)
    statements = None if text is None else read_sentence(text)
    if statements is None:
        return CheckResult(0.0, {"strict": 0.0, "readable": 0.0})
    stated, num_empty = _facts_stated(statements)
    true = _facts_true(reference)
    related = {fact for fact in true if fact[0] == "relation"}
    described = true - related
    num_relations = min(len(reference.things) - 1, len(related))
    num_wanted = len(described) + num_relations
    num_excess = max(len(stated & related) - num_relations, 0)
    num_right = len(stated & true) - num_excess
    num_stated = len(stated) + num_empty - num_excess
    score = f1(num_right, num_stated, num_wanted)
    return CheckResult(score, {"strict": float(score == 1.0), "readable": 1.0})


def _facts_true(reference: SceneReference) -> set[Fact]:
    phrases = [thing.phrase for thing in reference.things]
    facts = {fact for phrase in phrases for fact in _facts_of_phrase(phrase)}
    for i, relation, j in reference.relations:
        facts.add(_relation_fact(phrases[i], relation, phrases[j]))
    return facts


def _facts_stated(statements: list[Statement]) -> tuple[set[Fact], int]:
    """All distinct facts, and how many statements told nothing that was not told before."""
    facts: set[Fact] = set()
    num_empty = 0
    for statement in statements:
        told = set(_facts_of_phrase(statement.subject))
        if statement.relation is not None and statement.anchor is not None:
            told.update(_facts_of_phrase(statement.anchor))
            told.add(_relation_fact(statement.subject, statement.relation, statement.anchor))
        num_empty += told <= facts
        facts |= told
    return facts, num_empty


def _facts_of_phrase(phrase: Phrase) -> list[Fact]:
    thing: Fact = ("thing", phrase.name)
    return [thing] if phrase.size is None else [thing, ("size", phrase.name, phrase.size)]


def _relation_fact(subject: Phrase, relation: Relation, anchor: Phrase) -> Fact:
    """The same fact whichever way round it is told."""
    if relation in ("below", "right of"):
        return ("relation", anchor.name, OPPOSITE[relation], subject.name)
    return ("relation", subject.name, relation, anchor.name)
