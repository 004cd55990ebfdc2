"""The small parts: random streams, text with stop strings, the sampler, caches, request ids."""

import numpy as np
import pytest
import torch

from models.preprocessing.images import content_sha256
from models.preprocessing.prompt import Preprocessor
from protos.v1 import policy_generator_pb2 as pb
from services.common.errors import AlreadyExists, NotFound
from services.policy.engine.random_streams import stream_key, uniforms
from services.policy.engine.sampler import Draws, Knobs, draw, resolve_knobs
from services.policy.engine.text_stream import TextStream
from services.policy.media_cache import MediaCache
from services.policy.request_ids import RequestIds


def test_streams_are_uniform_and_differ_by_each_of_their_names() -> None:
    keys = np.array(
        [stream_key(s, p, i) for s in (1, 2) for p in (0, 1) for i in (0, 1)], np.uint64
    )
    numbers = np.stack([uniforms(keys, np.full(8, step)) for step in range(4000)])
    assert len(np.unique(numbers)) == numbers.size
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    histogram = np.histogram(numbers, bins=10, range=(0, 1))[0] / numbers.size
    np.testing.assert_allclose(histogram, 0.1, atol=0.01)
    correlations = np.corrcoef(numbers.T)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < 0.06


def test_a_stream_does_not_change_between_versions_of_the_code() -> None:
    keys = np.array([stream_key(7, 0, 0), stream_key(2**64 - 1, 3, 63)], np.uint64)
    assert keys.tolist() == [966333304274528171, 7100650524417153052]
    assert uniforms(keys, np.array([0, 5])).tolist() == [0.7574661576319659, 0.34540531856707757]


def test_draws_follow_the_distribution() -> None:
    probs = torch.tensor([0.5, 0.3, 0.15, 0.05])
    count = 20_000
    uniform = uniforms(np.full(count, stream_key(1, 0, 0), np.uint64), np.arange(count))
    drawn = draw(Draws(probs.log().expand(count, -1), _knobs(count), uniform))
    np.testing.assert_allclose(np.bincount(drawn.ids_R) / count, probs, atol=0.01)
    np.testing.assert_allclose(drawn.logprobs_R, probs.log()[drawn.ids_R], atol=1e-6)


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (2, 1.0, [0, 1]),
        (None, 0.5, [0]),
        (None, 0.51, [0, 1]),
        (None, 0.79, [0, 1]),
        (2, 0.7, [0, 1]),  # of the two that are left, the first has 0.625
        (2, 0.6, [0]),
        (None, 1.0, None),
    ],
)
def test_truncation_keeps_what_its_definition_says(
    top_k: int | None, top_p: float, kept: list[int] | None
) -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = draw(Draws(logits, _knobs(1, top_k=top_k, top_p=top_p), np.array([0.999])))
    if kept is None:
        assert drawn.supports == {}
        assert drawn.kept_mass_R[0] == 1
    else:
        assert drawn.supports[0].tolist() == kept
        assert drawn.ids_R[0] == kept[-1]
        assert drawn.kept_mass_R[0] == pytest.approx(float(logits.exp()[0, kept].sum()))


def test_the_largest_number_draws_the_last_possible_id() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf]])
    drawn = draw(Draws(logits, _knobs(1), np.array([1 - 2.0**-52])))
    assert drawn.ids_R.tolist() == [1]


def test_rows_that_are_not_finite_are_marked() -> None:
    logits = torch.tensor([[0.0, torch.nan], [0.0, 1.0], [-torch.inf, -torch.inf]])
    drawn = draw(Draws(logits, _knobs(3), np.full(3, 0.5)))
    assert drawn.is_finite_R.tolist() == [False, True, False]


def test_text_holds_back_what_may_become_a_stop_string(preprocessor: Preprocessor) -> None:
    tokenizer = preprocessor.tokenizer
    stream = TextStream(tokenizer, ("abc", "xyz"))
    ids = [tokenizer.encode(letter)[0] for letter in "qabxab"]
    assert [stream.add(i) for i in ids] == ["q", "", "", "ab", "x", ""]
    assert not stream.is_stopped
    assert stream.add(tokenizer.encode("c")[0]) == ""
    assert stream.is_stopped
    assert stream.finish() == ""


def test_text_releases_whole_characters_and_the_rest_at_the_end(
    preprocessor: Preprocessor,
) -> None:
    tokenizer = preprocessor.tokenizer
    stream = TextStream(tokenizer, ("…never",))
    ids = tokenizer.encode("é…")
    released = [stream.add(i) for i in ids]
    assert "".join(released) == "é"
    assert stream.finish() == "…"


def test_the_media_cache_is_bounded_and_forgets_the_least_used() -> None:
    cache = MediaCache(capacity_bytes=10)
    first, second = b"aaaa", b"bbbb"
    for data in (first, second):
        cache.put("", data)
    assert cache.get("", content_sha256(first)) == first
    cache.put("", b"cccc")
    cache.put("", b"larger than all of it")
    assert cache.num_bytes == 8
    with pytest.raises(NotFound):
        cache.get("", content_sha256(second))


def test_a_request_id_belongs_to_one_body() -> None:
    ids = RequestIds(capacity=2)
    one, other = pb.CommitWeightsRequest(alias="a"), pb.CommitWeightsRequest(alias="b")
    ids.check("x", one)
    ids.check("x", one)
    ids.check("", other)
    with pytest.raises(AlreadyExists):
        ids.check("x", other)
    for name in ("y", "z"):
        ids.check(name, one)
    ids.check("x", other)  # forgotten by then


def _knobs(rows: int, top_k: int | None = None, top_p: float = 1.0) -> Knobs:
    temperature, k, p = resolve_knobs(1.0, top_k, top_p)
    return Knobs(
        np.full(rows, temperature, np.float32),
        np.full(rows, k, np.int64),
        np.full(rows, p, np.float32),
    )
