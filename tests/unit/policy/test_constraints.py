"""Answers held to a form: valid, as likely as the rest says, and bounded in cost."""

import asyncio
import json
import re
import time

import numpy as np
import pytest

from services.common.errors import InvalidArgument
from services.policy.constraints import Constraints
from services.policy.engine.engine import Engine
from services.policy.engine.limits import EngineLimits
from services.policy.engine.request import FinishReason, Form, Group, Sample
from services.policy.engine.served_model import ServedModel
from tests.unit.policy.tiny_policy import dense_logits, generate, make_group, running_engine

SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
JSON_FORM = Form("json_schema", json.dumps(SCHEMA))
REGEX_FORM = Form("regex", r"(left|right) of the [a-z]{3,5}")


def compiled(form: Form, served: ServedModel):
    return asyncio.run(Constraints().compiled(form, served.preprocessor))


def group_of(served: ServedModel, form: Form, num_samples: int = 8, **settings: object) -> Group:
    group = make_group(served, num_samples=num_samples, max_tokens=120, form=form, **settings)
    return Group(0, group.prompt, group.sampling, num_samples, compiled(form, served))


def text_of(served: ServedModel, sample: Sample) -> str:
    return served.preprocessor.tokenizer.decode(sample.token_ids_T.tolist())


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_answers_are_of_the_schema(engine: Engine, served: ServedModel, temperature: float) -> None:
    group = group_of(served, JSON_FORM, temperature=temperature)
    for sample in generate(engine, served, [group]):
        assert sample.finish is FinishReason.STOP
        value = json.loads(text_of(served, sample))
        assert value["colour"] in ("red", "blue")
        assert 0 <= value["count"] <= 99


def test_answers_match_the_regular_expression(engine: Engine, served: ServedModel) -> None:
    texts = [text_of(served, s) for s in generate(engine, served, [group_of(served, REGEX_FORM)])]
    assert all(re.fullmatch(REGEX_FORM.source, text) for text in texts)
    assert len(set(texts)) > 1


def test_logprobs_are_of_what_the_form_leaves(engine: Engine, served: ServedModel) -> None:
    group = group_of(served, JSON_FORM, num_samples=2)
    for sample in generate(engine, served, [group]):
        logits, _ = dense_logits(served, group.prompt, sample.token_ids_T.tolist())
        probs_TV = (logits + served.text_bias_2V[0]).softmax(-1).numpy()
        for step, support in enumerate(sample.supports):
            drawn, probs = sample.token_ids_T[step], probs_TV[step]
            assert drawn in support
            mass = probs[support].sum()
            assert sample.kept_mass_T[step] == pytest.approx(mass, rel=1e-3, abs=1e-6)
            expected = np.log(probs[drawn] / mass)
            assert sample.logprobs_T[step] == pytest.approx(expected, abs=1e-4)


def test_forms_company_and_evictions_change_no_bit(served: ServedModel) -> None:
    def run(limits: EngineLimits, forms: list[Form]) -> list[list[bytes]]:
        with running_engine(limits) as engine:
            groups = [group_of(served, form, num_samples=3, seed=n) for n, form in enumerate(forms)]
            groups = [Group(n, g.prompt, g.sampling, 3, g.constraint) for n, g in enumerate(groups)]
            samples = generate(engine, served, groups)
        return [[s.token_ids_T.tobytes(), s.logprobs_T.tobytes()] for s in samples]

    forms = [JSON_FORM, REGEX_FORM] * 4
    together = run(EngineLimits(max_rows=7, reserved_rows=0, max_prefill_tokens=5), forms)
    assert together == run(EngineLimits(), forms)


BAD_FORMS = {
    "no JSON": Form("json_schema", "{not json"),
    "no type": Form("json_schema", '{"type": "nonsense"}'),
    "no pattern": Form("regex", "(unclosed"),
    "too long": Form("regex", "a" * 70_000),
    "too deep": Form("json_schema", '{"items":' * 3000 + "{}" + "}" * 3000),
}
COSTLY_FORMS = {
    "many branches": Form(
        "json_schema", json.dumps({"anyOf": [{"const": f"{n} x"} for n in range(3000)]})
    ),
    "backtracking": Form("regex", "((x+x+)+y){50}"),
    "repeated repeats": Form("regex", "(((a{1,900}){1,900}){1,900}){1,900}"),
    "any text": Form("regex", "(.|\n)*"),
}


@pytest.mark.parametrize("form", BAD_FORMS.values(), ids=BAD_FORMS)
def test_what_cannot_be_used_is_refused_soon(served: ServedModel, form: Form) -> None:
    started_s = time.monotonic()
    with pytest.raises(InvalidArgument, match=form.kind.replace("_", " ")) as refused:
        compiled(form, served)
    assert time.monotonic() - started_s < 20
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize("form", COSTLY_FORMS.values(), ids=COSTLY_FORMS)
def test_what_is_costly_ends_and_the_engine_lives_on(
    engine: Engine, served: ServedModel, form: Form
) -> None:
    started_s = time.monotonic()
    [sample] = generate(engine, served, [group_of(served, form, num_samples=1)])
    assert sample.finish is not FinishReason.CANCELLED
    assert time.monotonic() - started_s < 20
    assert len(generate(engine, served, [make_group(served, num_samples=2)])) == 2
