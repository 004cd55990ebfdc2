"""The same request gives the same bits alone, in any company and chunking, after any eviction."""

from random import Random

import numpy as np
import pytest

from models.preprocessing.conversation import Role, Text, TokenIds, Turn
from models.preprocessing.prompt import Preprocessor
from services.policy.engine.engine import Engine
from services.policy.engine.limits import EngineLimits, GroupError
from services.policy.engine.memory import num_pages_in
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.engine.request import Group, OutputMode, Priority, Sample
from services.policy.engine.served_model import ServedModel
from tests.unit.policy.tiny_policy import (
    CONFIG,
    generate,
    heard_and_seen,
    make_group,
    make_served,
    question,
    running_engine,
    submit,
)

WORDS = ("a", "red", "circle", "above", "the", "blue", "square", "what", "colour", "is", "it")


def requests(served: ServedModel, seed: int, count: int) -> list[Group]:
    """Random groups: text, pictures, all media, images out, guidance, truncation, stops."""
    rng = Random(seed)
    return [random_group(served, rng, index) for index in range(count)]


def random_group(served: ServedModel, rng: Random, index: int) -> Group:
    output = rng.choice([OutputMode.TEXT, OutputMode.TEXT, OutputMode.AUTO, OutputMode.IMAGE])
    settings: dict[str, object] = {
        "output": output,
        "max_tokens": 70 if output is OutputMode.IMAGE else rng.randint(1, 60),
        "seed": rng.randint(0, 2**40),
        "temperature": rng.choice([0.0, 0.7, 1.0, 1.0]),
        "top_k": rng.choice([None, None, 5]),
        "top_p": rng.choice([1.0, 1.0, 0.8]),
        "guidance_scale": rng.choice([1.0, 3.0]),
        "ignore_eos": rng.random() < 0.5,
    }
    text = " ".join(rng.choices(WORDS, k=rng.choice([1, 3, 8, 20])))
    group = make_group(
        served, text, rng.choice([None, rng.randint(0, 3)]), rng.randint(1, 5), index, **settings
    )
    if rng.random() < 0.3:
        conversation = heard_and_seen(text, rng.randint(0, 2))
        prompt = served.preprocessor.encode(conversation, output is OutputMode.IMAGE)
        group = Group(index, prompt, group.sampling, group.num_samples)
    return group


def bits(samples: list[Sample]) -> list[tuple[object, ...]]:
    return [
        (
            s.token_ids_T.tobytes(),
            s.logprobs_T.tobytes(),
            s.kept_mass_T.tobytes(),
            tuple(None if ids is None else ids.tobytes() for ids in s.supports),
            s.finish,
        )
        for s in samples
    ]


@pytest.fixture(scope="module")
def alone(served: ServedModel) -> dict[int, list[list[tuple[object, ...]]]]:
    """Each group by itself, in an engine that has all the room it may want."""
    found = {}
    for seed in range(2):
        found[seed] = []
        for group in requests(served, seed, 16):
            with running_engine(EngineLimits(max_prefill_tokens=10_000)) as engine:
                found[seed].append(bits(generate(engine, served, [group])))
    return found


def cache_bytes(num_pages: int) -> int:
    one_page = next(n for n in range(1, 1 << 20) if num_pages_in(n, CONFIG.decoder) == 2) // 2
    assert num_pages_in(one_page * num_pages, CONFIG.decoder) == num_pages
    return one_page * num_pages


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_prefill_tokens": 7},
        {"max_rows": 12, "reserved_rows": 0, "max_prefill_tokens": 33},
        {"num_pages": 45, "max_prefill_tokens": 64},
    ],
    ids=["roomy", "small chunks", "few rows", "few pages"],
)
def test_company_chunks_and_evictions_change_no_bit(
    served: ServedModel, alone, seed: int, limits: dict[str, int]
) -> None:
    if "num_pages" in limits:
        limits = {**limits, "cache_bytes": cache_bytes(limits["num_pages"])}
        del limits["num_pages"]
    groups = requests(served, seed, 16)
    order = Random(seed + 100).sample(range(16), 16)
    with running_engine(EngineLimits(**limits)) as engine:
        inboxes = {}
        for place in order:
            priority = Priority(place % 2)
            inboxes[place] = submit(engine, served, [groups[place]], priority=priority)[1]
        for place, inbox in inboxes.items():
            assert bits(inbox.wait_samples(groups[place].num_samples)) == alone[seed][place]
        num_preempted = sum(len(step.preempted) for step in engine._observer.steps)
        assert bool(num_preempted) == ("cache_bytes" in limits)
        assert not engine._observer.errors
        assert engine.num_cached_tokens == 0


def test_look_alikes_that_come_together_share_what_they_can(served: ServedModel) -> None:
    text = " ".join(WORDS * 4)
    groups = [make_group(served, text, 1, 2, index=i, seed=i, max_tokens=3) for i in range(8)]
    num_tokens = len(groups[0].prompt.token_ids)
    with running_engine() as engine:
        jobs = [submit(engine, served, [group]) for group in groups]
        for job, inbox in jobs:
            inbox.wait_samples(job.num_samples)
    tail = num_tokens - (num_tokens - 1) // PAGE_TOKENS * PAGE_TOKENS
    computed = sorted(job.num_computed_prompt_tokens for job, _ in jobs)
    assert computed == [tail] * 7 + [num_tokens]


def test_a_prompt_that_was_seen_is_not_computed_again_unless_tenant_or_version_differ(
    served: ServedModel, preprocessor: Preprocessor
) -> None:
    other = make_served(preprocessor, seed=2)
    group = make_group(served, " ".join(WORDS * 3), picture_seed=1, max_tokens=2)
    num_tokens = len(group.prompt.token_ids)

    def computed(engine: Engine, model: ServedModel, tenant: str) -> int:
        job, inbox = submit(engine, model, [group], tenant=tenant)
        inbox.wait_samples(1)
        return job.num_computed_prompt_tokens

    with running_engine() as engine:
        assert computed(engine, served, "one") == num_tokens
        assert computed(engine, served, "one") <= PAGE_TOKENS
        assert computed(engine, served, "two") == num_tokens
        assert computed(engine, other, "one") == num_tokens
        engine.drop_version(served.version)
        assert computed(engine, served, "one") == num_tokens


def test_the_next_turn_of_a_dialogue_finds_the_turns_before(served: ServedModel) -> None:
    first = make_group(served, " ".join(WORDS * 2), picture_seed=1, max_tokens=40, ignore_eos=True)
    with running_engine() as engine:
        [sample] = generate(engine, served, [first])
        said = TokenIds(tuple(sample.token_ids_T.tolist()), served.preprocessor.fingerprint)
        turns = (
            *question(" ".join(WORDS * 2), 1),
            Turn(Role.ASSISTANT, (said,)),
            Turn(Role.USER, (Text("and now?"),)),
        )
        group = Group(0, served.preprocessor.encode(turns), first.sampling, 1)
        job, inbox = submit(engine, served, [group])
        followed = bits(inbox.wait_samples(1))
        num_known = len(first.prompt.token_ids) + 39  # the last token was drawn and not yet read
        wanted = len(group.prompt.token_ids) - num_known // PAGE_TOKENS * PAGE_TOKENS
        assert job.num_computed_prompt_tokens == wanted
    with running_engine() as engine:
        assert bits(generate(engine, served, [group])) == followed


def test_another_picture_under_the_same_words_is_another_prompt(served: ServedModel) -> None:
    first, second = (
        make_group(served, "what is it?", picture_seed=seed, max_tokens=20, ignore_eos=True)
        for seed in (1, 2)
    )
    assert first.prompt.token_ids.tolist() == second.prompt.token_ids.tolist()
    with running_engine() as engine:
        fresh = bits(generate(engine, served, [second]))
    with running_engine() as engine:
        generate(engine, served, [first])
        assert bits(generate(engine, served, [second])) == fresh


def test_a_medium_is_encoded_once_for_a_version(served: ServedModel) -> None:
    groups = [make_group(served, "what?", 5, 4, i, max_tokens=2, seed=i) for i in range(4)]
    with running_engine() as engine:
        for group in groups:
            generate(engine, served, [group])
        features = engine._scheduler.features
        assert (features.num_misses, features.num_hits) == (1, 3)


def test_a_cancelled_prompt_is_computed_by_whoever_shares_it(served: ServedModel) -> None:
    text = " ".join(WORDS * 5)
    groups = [make_group(served, text, 1, index=i, seed=i, max_tokens=5) for i in range(2)]
    with running_engine() as engine:
        wanted = bits(generate(engine, served, [groups[1]]))
    with running_engine(EngineLimits(max_prefill_tokens=8)) as engine:
        first, _ = submit(engine, served, [groups[0]])
        _, inbox = submit(engine, served, [groups[1]])
        engine.cancel(first)
        assert bits(inbox.wait_samples(1)) == wanted
        assert engine.num_cached_tokens == 0


def test_a_group_larger_than_the_cache_is_refused_with_the_numbers(served: ServedModel) -> None:
    with running_engine(EngineLimits(cache_bytes=cache_bytes(6))) as engine:
        message = r"samples over a prompt of \d+ tokens needs \d+ pages of the cache; it has 6"
        with pytest.raises(GroupError, match=message):
            submit(engine, served, [make_group(served, max_tokens=100)])
        with pytest.raises(GroupError, match=message):
            submit(engine, served, [make_group(served, num_samples=8, max_tokens=2)])
        assert np.isfinite(
            generate(engine, served, [make_group(served, max_tokens=8)])[0].logprobs_T
        ).all()


def test_guessing_ahead_changes_no_bit_and_saves_steps(served: ServedModel) -> None:
    """Greedy answers of a random model soon repeat themselves, which suits guesses."""
    settings = {"temperature": 0.0, "max_tokens": 120, "ignore_eos": True}
    groups = [make_group(served, " ".join(WORDS[:n]), seed=n, **settings) for n in (2, 5, 9)]
    groups += requests(served, 7, 8)
    found, num_steps = [], []
    for max_drafted_rows in (0, 8):
        with running_engine(EngineLimits(max_drafted_rows=max_drafted_rows)) as engine:
            found.append([bits(generate(engine, served, [group])) for group in groups])
            num_steps.append(len(engine._observer.steps))
    assert found[0] == found[1]
    assert num_steps[1] < 0.8 * num_steps[0]
