"""Versions out of their files: nothing is given out unchecked, and nothing is held twice."""

from pathlib import Path

import pytest

from models import checkpoint
from services.common.errors import DataLoss
from services.common.version_store import Manifest, describe
from services.policy.engine.placement import Placement
from services.policy.engine.served_model import served_model
from services.policy.loading import VersionLoader
from tests.unit.policy.tiny_policy import generate, make_group, make_model, make_preprocessor


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path, make_model(1), make_preprocessor())
    return tmp_path


def described(folder) -> Manifest:
    return describe("policy", folder, make_preprocessor().fingerprint, {})


@pytest.mark.parametrize(("text", "picture_seed"), [("what colour?", None), ("draw", 3)])
def test_a_loaded_version_answers_as_the_whole_model_does(engine, folder, text, picture_seed):
    whole = served_model("whole", checkpoint.load(folder))
    loaded = VersionLoader(Placement()).load(folder, described(folder))
    assert str(folder) not in Path("/proc/self/maps").read_text()  # the file may change now
    [expected], [got] = (
        generate(engine, served, [make_group(served, text, picture_seed)])
        for served in (whole, loaded)
    )
    assert got.token_ids_T.tolist() == expected.token_ids_T.tolist()
    assert got.logprobs_T.tolist() == expected.logprobs_T.tolist()


def test_the_decoder_is_held_once(folder) -> None:
    loaded = VersionLoader(Placement()).load(folder, described(folder))
    whole = make_model(1)
    assert loaded.num_bytes == sum(p.nbytes for p in whole.parameters())
    names = [name for name, _ in loaded.model.named_parameters()]
    assert not [n for n in names if n.startswith(("language_model.", "lm_head."))]


def test_a_damaged_file_is_named_whatever_became_of_reading_it(folder) -> None:
    manifest = described(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", "[", 1))
    with pytest.raises(DataLoss, match=r"config\.json of .* does not match its checksum"):
        VersionLoader(Placement()).load(folder, manifest)


def test_versions_with_one_tokenizer_share_it(folder, tmp_path_factory) -> None:
    loader, other = VersionLoader(Placement()), tmp_path_factory.mktemp("other")
    checkpoint.save(other, make_model(2), make_preprocessor())
    first, second = (loader.load(each, described(each)) for each in (folder, other))
    assert first.preprocessor is second.preprocessor
    assert first.version != second.version
