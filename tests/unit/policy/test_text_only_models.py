"""A model that sees and draws no pictures: what callers are told, and what is refused."""

import numpy as np
import pytest

from models.checkpoint import load
from models.preprocessing.conversation import Picture, Role, Text, Turn
from protos.v1 import media_pb2
from protos.v1 import trajectory_pb2 as pb
from services.common.errors import InvalidArgument
from services.common.version_store import VersionStore
from services.policy.config import PolicyConfig
from services.policy.engine.engine import Engine
from services.policy.engine.limits import GroupError
from services.policy.engine.request import Group, OutputMode, Sampling
from services.policy.engine.served_model import ServedModel, served_model
from services.policy.model_limits import check_modalities, model_limits
from services.policy.samples import answers_to_parts
from services.policy.sampling_params import resolve_sampling
from services.policy.service import install_base
from tests.support.family_folders import write_llama
from tests.unit.policy.tiny_policy import generate

QUESTION = (Turn(Role.USER, (Text("what colour is it?"),)),)


@pytest.fixture(scope="module")
def text_only(tmp_path_factory) -> ServedModel:
    folder = tmp_path_factory.mktemp("llama")
    write_llama(folder)
    return served_model("policy-text", load(folder))


def resolved(served: ServedModel, output: "pb.OutputModality.ValueType") -> Sampling:
    params = pb.SamplingParams(output=output, guidance_scale=3.0, max_tokens=4)
    return resolve_sampling(params, 1, 1, 10, served, PolicyConfig())


def test_a_folder_of_a_family_can_be_the_base_of_a_service(tmp_path) -> None:
    (tmp_path / "llama").mkdir()
    write_llama(tmp_path / "llama", num_shards=2)
    store = VersionStore(tmp_path / "versions")
    install_base(store, tmp_path / "llama")
    version = store.alias("policy", "stable").version
    stored = load(store.folder("policy", version))
    manifest = store.manifest("policy", version)
    assert stored.preprocessor.fingerprint == manifest.preprocessing_fingerprint


def test_its_limits_name_text_alone(text_only: ServedModel) -> None:
    limits = model_limits(text_only)
    assert list(limits.input_modalities) == [media_pb2.MODALITY_TEXT]
    assert list(limits.output_modalities) == [media_pb2.MODALITY_TEXT]
    counts = (limits.image_codebook_size, limits.tokens_per_output_image, limits.max_input_tiles)
    assert (*counts, limits.output_image_side) == (0, 0, 0, 0)


def test_media_are_refused_by_kind(text_only: ServedModel) -> None:
    shown = (Turn(Role.USER, (Picture(b""),)),)
    with pytest.raises(InvalidArgument, match=r"takes no pictures, .* message 0; it takes text$"):
        check_modalities(shown, text_only)


def test_an_answer_that_the_model_decides_is_text_and_not_guided(text_only: ServedModel) -> None:
    sampling = resolved(text_only, pb.OUTPUT_MODALITY_AUTO)
    assert (sampling.output, sampling.is_guided) == (OutputMode.TEXT, False)


def test_drawings_are_refused(text_only: ServedModel, engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="policy-text draws no pictures"):
        resolved(text_only, pb.OUTPUT_MODALITY_IMAGE)
    prompt = text_only.preprocessor.encode(QUESTION)
    with pytest.raises(GroupError, match="policy-text draws no pictures"):
        generate(
            engine,
            text_only,
            [Group(0, prompt, Sampling(4, 1, output=OutputMode.IMAGE), 1)],
        )


def test_it_answers_in_text_and_repeats_itself_by_seed(
    text_only: ServedModel, engine: Engine
) -> None:
    prompt = text_only.preprocessor.encode(QUESTION)
    group = Group(0, prompt, Sampling(12, 5, ignore_eos=True), 2)
    first, second = (generate(engine, text_only, [group]) for _ in range(2))
    for sample, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(sample.token_ids_T, again.token_ids_T)
        text_only.grammar.check(prompt.token_ids.tolist(), sample.token_ids_T.tolist())
        [parts] = answers_to_parts(text_only, [(sample.token_ids_T.tolist(), ())])
        assert [part.WhichOneof("kind") for part in parts] in ([], ["text"])
