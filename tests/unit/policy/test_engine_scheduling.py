"""How the engine runs: groups, lanes, cancel, deadline, queue, failure, version switch."""

import itertools
import threading
import time

import pytest
import torch

from models.preprocessing.prompt import Preprocessor
from services.policy.engine.batch import Batch
from services.policy.engine.engine import Engine
from services.policy.engine.lane import Lane
from services.policy.engine.limits import EngineLimits, GroupError, QueueFullError
from services.policy.engine.native.executor import NativeExecutor
from services.policy.engine.native.packed import Crew
from services.policy.engine.request import FinishReason, Job, OutputMode, Priority, Sample
from services.policy.engine.scheduler import Scheduler
from services.policy.engine.served_model import ServedModel
from services.policy.engine.track import Track
from tests.unit.policy.tiny_policy import (
    generate,
    make_group,
    make_served,
    running_engine,
    submit,
)


def test_a_group_computes_its_prompt_once(engine: Engine, served: ServedModel) -> None:
    group = make_group(served, picture_seed=1, num_samples=8, max_tokens=2, ignore_eos=True)
    job, inbox = submit(engine, served, [group])
    inbox.wait_samples(8)
    steps = [(step.num_prompt_tokens, step.num_decoded_rows) for step in engine._observer.steps]
    assert steps == [(len(group.prompt.token_ids), 0), (0, 8)]
    assert job.num_computed_prompt_tokens == len(group.prompt.token_ids)


def test_requests_join_a_batch_that_runs(engine: Engine, served: ServedModel) -> None:
    _, first = submit(engine, served, [_endless(served)], is_streamed=True)
    first.wait_token()
    generate(engine, served, [make_group(served, max_tokens=3, ignore_eos=True)])
    assert not first.samples  # the newcomer finished while the first still ran
    first.wait_samples(1)


def test_a_stop_string_ends_a_sample_across_token_borders(
    engine: Engine, served: ServedModel
) -> None:
    tokenizer = served.preprocessor.tokenizer
    free = make_group(served, max_tokens=40, ignore_eos=True)
    [sample] = generate(engine, served, [free])
    text = tokenizer.decode(sample.token_ids_T.tolist())
    pieces = [tokenizer.decode([i]) for i in sample.token_ids_T.tolist()]
    stop = next(
        a[-1] + b[0] for a, b in itertools.pairwise(pieces[4:]) if a and b and (a + b).isascii()
    )
    group = make_group(served, max_tokens=40, ignore_eos=True, stop=("never", stop))
    _, inbox = submit(engine, served, [group], is_streamed=True)
    [stopped] = inbox.wait_samples(1)
    assert stopped.finish is FinishReason.STOP
    assert len(stopped.token_ids_T) < 40
    assert "".join(token.text for token in inbox.tokens) == text[: text.index(stop)]
    assert [t.token_id for t in inbox.tokens] == stopped.token_ids_T.tolist()


def test_max_tokens_ends_a_sample(engine: Engine, served: ServedModel) -> None:
    [sample] = generate(engine, served, [make_group(served, max_tokens=7, ignore_eos=True)])
    assert (len(sample.token_ids_T), sample.finish) == (7, FinishReason.LENGTH)


def test_end_of_turn_is_among_the_tokens_and_ignore_eos_goes_past_it(
    engine: Engine, served: ServedModel
) -> None:
    end = served.grammar.special.end
    group = make_group(served, num_samples=64, max_tokens=120)
    stopped = [s for s in generate(engine, served, [group]) if s.finish is FinishReason.STOP]
    assert stopped
    assert all(s.token_ids_T[-1] == end and end not in s.token_ids_T[:-1] for s in stopped)
    same = make_group(served, num_samples=64, max_tokens=120, ignore_eos=True)
    assert all(len(sample.token_ids_T) == 120 for sample in generate(engine, served, [same]))


def test_a_cancelled_job_frees_its_rows(engine: Engine, served: ServedModel) -> None:
    job, inbox = submit(engine, served, [_endless(served, num_samples=4)], is_streamed=True)
    inbox.wait_token()
    engine.cancel(job)
    samples = inbox.wait_samples(4)
    assert {s.finish for s in samples} == {FinishReason.CANCELLED}
    assert all(len(s.token_ids_T) < 200 for s in samples)
    assert engine.num_running == engine.num_cached_tokens == 0


def test_a_deadline_ends_a_job_that_waits_and_one_that_runs(served: ServedModel) -> None:
    with running_engine(EngineLimits(max_rows=2, reserved_rows=0)) as engine:
        _, running = submit(
            engine, served, [_endless(served, num_samples=2)], deadline_s=time.monotonic() + 0.01
        )
        _, waiting = submit(engine, served, [_endless(served)], deadline_s=time.monotonic() + 0.005)
        for inbox, count in ((running, 2), (waiting, 1)):
            assert {s.error for s in inbox.wait_samples(count)} == {"deadline exceeded"}


def test_a_full_queue_refuses(served: ServedModel) -> None:
    limits = EngineLimits(max_rows=2, reserved_rows=0, max_waiting_samples=3)
    with running_engine(limits) as engine, _held(engine):
        groups = [make_group(served, num_samples=2)]
        _, first = submit(engine, served, groups)
        with pytest.raises(QueueFullError, match="2 samples wait; at most 3"):
            submit(engine, served, groups)
    first.wait_samples(2)


def test_interactive_jobs_go_before_batch_jobs(served: ServedModel) -> None:
    with running_engine(EngineLimits(max_rows=1, reserved_rows=0)) as engine:
        with _held(engine):
            order: list[str] = []
            inboxes = [
                submit(engine, served, [make_group(served, max_tokens=2)], priority=priority)[1]
                for priority in (Priority.BATCH, Priority.INTERACTIVE)
            ]
            for inbox, name in zip(inboxes, ("batch", "interactive"), strict=True):
                _on_sample(inbox, lambda name=name: order.append(name))
        for inbox in inboxes:
            inbox.wait_samples(1)
    assert order == ["interactive", "batch"]


def test_versions_never_share_a_forward_pass(preprocessor: Preprocessor) -> None:
    first, second = (make_served(preprocessor, seed) for seed in (1, 2))
    with running_engine() as engine:
        alone = [generate(engine, s, [make_group(s, max_tokens=20)])[0] for s in (first, second)]
        inboxes = [submit(engine, s, [make_group(s, max_tokens=20)])[1] for s in (first, second)]
        together = [inbox.wait_samples(1)[0] for inbox in inboxes]
    assert _bits(alone) == _bits(together)
    assert [s.spans[0].version for s in together] == ["policy-1", "policy-2"]


@pytest.mark.parametrize("comes_later", ["one that idled", "one never seen"])
def test_a_version_is_not_owed_the_time_that_it_did_not_use(
    preprocessor: Preprocessor, comes_later: str
) -> None:
    idle, busy, unseen = (make_served(preprocessor, seed) for seed in (1, 2, 3))
    scheduler = Scheduler(EngineLimits(), Crew(1))
    _add(scheduler, idle)
    scheduler.charge(_next(scheduler), 1.0)
    scheduler.take_out(lambda _: True)
    _add(scheduler, busy)
    for _ in range(100):
        scheduler.charge(_next(scheduler), 1.0)
    _add(scheduler, idle if comes_later == "one that idled" else unseen)
    turns = []
    for _ in range(10):
        turns.append(_next(scheduler).served is busy)
        scheduler.charge(_next(scheduler), 1.0)
    assert 4 <= turns.count(True) <= 6


def test_a_switched_sequence_goes_on_under_the_new_version(preprocessor: Preprocessor) -> None:
    old, new = (make_served(preprocessor, seed) for seed in (1, 2))
    group = _endless(old, num_samples=3, picture_seed=1)
    with running_engine() as engine:
        job, inbox = submit(engine, old, [group], is_streamed=True, may_switch_version=True)
        inbox.wait_token()
        engine.switch_version({job}, new).result(timeout=10)
        for sample in inbox.wait_samples(3):
            first, second = sample.spans
            assert (first.version, second.version) == ("policy-1", "policy-2")
            assert (first.start, second.start, second.end) == (0, first.end, 200)
            assert len(sample.logprobs_T) == 200
    assert job.model is new


def test_a_failing_step_ends_its_sequences_and_the_engine_lives_on(
    engine: Engine, served: ServedModel, monkeypatch
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("out of something")

    _, running = submit(engine, served, [_endless(served)], is_streamed=True)
    running.wait_token()
    with monkeypatch.context() as patch:
        patch.setattr(Track, "encode", explode)
        [failed] = generate(engine, served, [make_group(served)])
    assert (failed.finish, failed.error) == (FinishReason.FAILED, "RuntimeError: out of something")
    assert running.wait_samples(1)[0].finish is FinishReason.LENGTH
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "_run", explode)
        [failed] = generate(engine, served, [make_group(served)])
    assert failed.finish is FinishReason.FAILED
    [sample] = generate(engine, served, [make_group(served)])
    assert sample.finish is not FinishReason.FAILED


def test_logits_that_are_not_finite_fail_their_own_sample(
    engine: Engine, served: ServedModel, monkeypatch
) -> None:
    logits = NativeExecutor.text_logits

    def poisoned(executor, hidden_RD):
        return logits(executor, hidden_RD).index_fill(0, torch.tensor([0]), float("nan"))

    monkeypatch.setattr(NativeExecutor, "text_logits", poisoned)
    first, *others = generate(engine, served, [make_group(served, num_samples=3, max_tokens=4)])
    assert first.finish is FinishReason.FAILED
    assert "not finite" in first.error
    assert len(others) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 300}, "max_tokens is 300; together they exceed the context of 256"),
        ({"max_tokens": 0}, "at least 1"),
        ({"max_tokens": 64, "output": OutputMode.IMAGE}, "an image takes 65 tokens"),
        ({"num_samples": 300}, "takes 300 rows"),
    ],
)
def test_a_group_that_cannot_run_is_refused_with_numbers(
    engine: Engine, served: ServedModel, change: dict[str, object], message: str
) -> None:
    with pytest.raises(GroupError, match=message):
        submit(engine, served, [make_group(served, **change)])


def test_stopping_cancels_what_is_unfinished(served: ServedModel) -> None:
    with running_engine() as engine:
        _, inbox = submit(engine, served, [_endless(served)], is_streamed=True)
        inbox.wait_token()
    [sample] = inbox.wait_samples(1)
    assert (sample.finish, sample.error) == (FinishReason.CANCELLED, "the engine stopped")


def _endless(served: ServedModel, **settings):
    return make_group(served, **{"max_tokens": 200, "ignore_eos": True, **settings})


def _add(scheduler: Scheduler, served: ServedModel) -> None:
    scheduler.add(Job("job", served, (_endless(served),), lambda events: None))


def _next(scheduler: Scheduler) -> Lane:
    lane = scheduler.next_lane()
    assert lane is not None
    return lane


def _bits(samples: list[Sample]) -> list[tuple[bytes, bytes]]:
    return [(s.token_ids_T.tobytes(), s.logprobs_T.tobytes()) for s in samples]


class _held:  # noqa: N801
    """Keeps the engine's thread busy, so that what is submitted waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._release = engine, threading.Event()

    def __enter__(self) -> None:
        began = threading.Event()
        self._engine._command(lambda: (began.set(), self._release.wait(20)))
        assert began.wait(20)

    def __exit__(self, *_: object) -> None:
        self._release.set()


def _on_sample(inbox, action) -> None:
    original = inbox._events.put

    def put(event) -> None:
        if isinstance(event, Sample):
            action()
        original(event)

    inbox._events.put = put
