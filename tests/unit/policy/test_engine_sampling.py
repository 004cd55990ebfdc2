"""What the engine samples: seeds, the log-probability contract, grammar, guidance, truncation."""

import numpy as np
import pytest
import torch

from models.grammar import Kind
from models.likelihood import completion_logprobs
from models.media import MediaTensors
from services.policy.engine.engine import Engine
from services.policy.engine.request import FinishReason, Group, OutputMode, Sample
from services.policy.engine.served_model import ServedModel
from tests.unit.policy.tiny_policy import (
    NUM_CODES,
    VOCAB_SIZE,
    dense_logits,
    generate,
    make_group,
)


def test_a_seed_gives_the_same_sample_alone_and_in_a_batch(
    engine: Engine, served: ServedModel
) -> None:
    group = make_group(served, picture_seed=3, max_tokens=40, seed=5)
    others = [make_group(served, f"other {i}", max_tokens=30, seed=i, index=i) for i in range(1, 9)]
    [alone] = generate(engine, served, [group])
    among = generate(engine, served, [group, *others])[0]
    assert alone.token_ids_T.tolist() == among.token_ids_T.tolist()
    np.testing.assert_allclose(alone.logprobs_T, among.logprobs_T, atol=1e-5)


def test_samples_of_a_group_differ_and_a_lone_sample_equals_the_first_of_many(
    engine: Engine, served: ServedModel
) -> None:
    many = generate(engine, served, [make_group(served, num_samples=4, max_tokens=20)])
    [one] = generate(engine, served, [make_group(served, num_samples=1, max_tokens=20)])
    assert len({tuple(sample.token_ids_T.tolist()) for sample in many}) == 4
    assert many[0].token_ids_T.tolist() == one.token_ids_T.tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("output", list(OutputMode))
def test_logprobs_agree_with_the_dense_likelihood(
    engine: Engine, served: ServedModel, output: OutputMode, temperature: float
) -> None:
    settings = {"temperature": temperature, "output": output, "max_tokens": 70, "ignore_eos": True}
    groups = [
        make_group(served, "what?", picture_seed=1, num_samples=3, **settings),
        make_group(served, "a longer question: yes, no?", num_samples=3, index=1, **settings),
    ]
    for sample in generate(engine, served, groups):
        expected = _likelihood(served, groups[sample.group_index], sample)
        assert np.abs(sample.logprobs_T - expected).max() <= 1e-4
        assert (sample.kept_mass_T == 1).all()


def test_an_image_is_exactly_its_codes_and_its_end(engine: Engine, served: ServedModel) -> None:
    group = make_group(served, "draw", num_samples=2, output=OutputMode.IMAGE)
    for sample in generate(engine, served, [group]):
        ids = sample.token_ids_T
        assert len(ids) == NUM_CODES + 1
        assert (ids[:-1] >= VOCAB_SIZE).all()
        assert ids[-1] == served.grammar.special.end_of_image
        assert (sample.finish, sample.logprobs_T[-1]) == (FinishReason.STOP, 0.0)


def test_auto_answers_obey_the_grammar_and_text_answers_never_begin_an_image(
    engine: Engine, served: ServedModel
) -> None:
    settings = {"max_tokens": 120, "ignore_eos": True, "num_samples": 16}
    auto = make_group(served, output=OutputMode.AUTO, **settings)
    text = make_group(served, output=OutputMode.TEXT, index=1, **settings)
    samples = generate(engine, served, [auto, text])
    for sample in samples:
        group = (auto, text)[sample.group_index]
        served.grammar.check(group.prompt.token_ids.tolist(), sample.token_ids_T.tolist())
    has_image = [(s.token_ids_T >= VOCAB_SIZE).any() for s in samples]
    assert any(has_image[:16])
    assert not any(has_image[16:])


def test_greedy_takes_the_likeliest_id_and_keeps_its_mass(
    engine: Engine, served: ServedModel
) -> None:
    group = make_group(served, temperature=0.0, max_tokens=12, num_samples=2, ignore_eos=True)
    first, second = generate(engine, served, [group])
    logits, _ = dense_logits(served, group.prompt, first.token_ids_T.tolist())
    logits = logits + served.text_bias_2V[0]
    assert first.token_ids_T.tolist() == logits.argmax(dim=-1).tolist()
    assert first.token_ids_T.tolist() == second.token_ids_T.tolist()
    assert (first.logprobs_T == 0).all()
    np.testing.assert_allclose(first.kept_mass_T, logits.softmax(-1).amax(-1), rtol=1e-4)
    assert [ids.tolist() for ids in first.supports] == [[i] for i in first.token_ids_T]


@pytest.mark.parametrize("output", [OutputMode.TEXT, OutputMode.IMAGE])
@pytest.mark.parametrize(
    ("top_k", "top_p"), [(5, 1.0), (None, 0.6), (20, 0.5)], ids=["k", "p", "both"]
)
def test_truncated_logprobs_are_those_of_the_kept_support(
    engine: Engine, served: ServedModel, output: OutputMode, top_k: int | None, top_p: float
) -> None:
    group = make_group(served, output=output, top_k=top_k, top_p=top_p, num_samples=2)
    for sample in generate(engine, served, [group]):
        logits, kinds = dense_logits(served, group.prompt, sample.token_ids_T.tolist())
        for step, kind in enumerate(kinds):
            if kind is Kind.END_OF_IMAGE:
                assert sample.supports[step] is None
                continue
            offset = VOCAB_SIZE if kind is Kind.CODE else 0
            bias = 0 if kind is Kind.CODE else served.text_bias_2V[0]
            row = logits[step, :64] if kind is Kind.CODE else logits[step] + bias
            probs, support = row.softmax(-1).numpy(), sample.supports[step] - offset
            drawn = int(sample.token_ids_T[step]) - offset
            kept_mass = float(probs[support].sum())
            assert len(support) <= (top_k or len(row))
            assert probs[support].min() >= np.delete(probs, support).max(initial=0) - 1e-6
            assert drawn in support
            assert sample.kept_mass_T[step] == pytest.approx(kept_mass, abs=1e-5)
            expected = float(np.log(probs[drawn] / kept_mass))
            assert sample.logprobs_T[step] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("output", [OutputMode.IMAGE, OutputMode.AUTO])
def test_guided_logprobs_are_of_the_guided_distribution(
    engine: Engine, served: ServedModel, output: OutputMode
) -> None:
    guided = make_group(
        served, "draw a red circle", num_samples=8, max_tokens=80, output=output,
        guidance_scale=3.0, ignore_eos=True,
    )  # fmt: skip
    plain = make_group(served, "what?", picture_seed=2, num_samples=2, index=1, max_tokens=30)
    num_codes = 0
    for sample in generate(engine, served, [guided, plain])[:8]:
        ids = sample.token_ids_T.tolist()
        logits, kinds = dense_logits(served, guided.prompt, ids)
        blank_logits, _ = dense_logits(served, _blank(served, guided), _blank_answer(served, ids))
        for step in [step for step, kind in enumerate(kinds) if kind is Kind.CODE]:
            blank = blank_logits[step, :64]
            row = blank + 3.0 * (logits[step, :64] - blank)
            expected = row.log_softmax(-1)[ids[step] - VOCAB_SIZE]
            assert sample.logprobs_T[step] == pytest.approx(float(expected), abs=1e-4)
            num_codes += 1
    assert num_codes >= NUM_CODES


def test_top_logprobs_are_before_truncation(engine: Engine, served: ServedModel) -> None:
    group = make_group(served, top_k=1, num_top_logprobs=3, max_tokens=5, ignore_eos=True)
    [sample] = generate(engine, served, [group])
    logits, _ = dense_logits(served, group.prompt, sample.token_ids_T.tolist())
    logprobs = (logits + served.text_bias_2V[0]).log_softmax(-1)
    for step, top in enumerate(sample.top):
        assert list(top.ids) == logprobs[step].topk(3).indices.tolist()
        untruncated = sample.logprobs_T[step] + np.log(sample.kept_mass_T[step])
        assert top.logprobs[0] == pytest.approx(untruncated, abs=1e-5)


def _likelihood(served: ServedModel, group: Group, sample: Sample) -> np.ndarray:
    prompt = group.prompt
    ids = torch.from_numpy(np.concatenate([prompt.token_ids, sample.token_ids_T]))[None]
    with torch.no_grad():
        return completion_logprobs(
            served.model,
            served.grammar,
            ids,
            torch.tensor([len(prompt.token_ids)]),
            torch.tensor([ids.shape[1]]),
            served.model.encode_media(MediaTensors.from_arrays(prompt.media)),
            temperature=group.sampling.temperature,
            allow_image=group.sampling.output is not OutputMode.TEXT,
        ).logprobs_BT[0].numpy()  # fmt: skip


def _blank(served: ServedModel, group: Group):
    """The unconditional prompt, by its definition."""
    special, ids = served.grammar.special, group.prompt.token_ids
    kept = np.isin(ids, [special.bos, special.begin_of_image])
    no_media = served.preprocessor.media_arrays([])
    return type(group.prompt)(np.where(kept, ids, special.pad), no_media, ())


def _blank_answer(served: ServedModel, ids: list[int]) -> list[int]:
    special = served.grammar.special
    seen = lambda i: i >= VOCAB_SIZE or i == special.begin_of_image  # noqa: E731
    return [i if seen(i) else special.pad for i in ids]
