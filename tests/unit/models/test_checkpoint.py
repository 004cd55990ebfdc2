import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import Checkpoint, borrow, load, save
from models.checkpoint_error import CheckpointError
from models.initialization import Undrawn


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path):
    save(tmp_path, checkpoint.model, checkpoint.preprocessor)
    return tmp_path


def edit_tensors(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_a_saved_model_loads_bit_for_bit(checkpoint: Checkpoint, folder) -> None:
    loaded = load(folder)
    expected = checkpoint.model.state_dict()
    assert loaded.model.config == checkpoint.model.config
    assert loaded.preprocessor.fingerprint == checkpoint.preprocessor.fingerprint
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_what_is_borrowed_is_what_is_loaded(checkpoint: Checkpoint, folder) -> None:
    loaded, borrowed = load(folder), borrow(folder)
    assert borrowed.preprocessor.fingerprint == checkpoint.preprocessor.fingerprint
    # Buffers that no file holds among them.
    for tensors in ("named_parameters", "named_buffers"):
        expected = dict(getattr(loaded.model, tensors)())
        for name, tensor in getattr(borrowed.model, tensors)():
            assert torch.equal(tensor, expected[name]), name
            assert tensor.dtype == torch.float32


def test_what_is_borrowed_is_checked_too(folder) -> None:
    edit_tensors(folder, lambda t: t["lm_head.weight"].__setitem__((0, 0), float("inf")))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight holds NaN or infinity"):
        borrow(folder)


def test_finite_weights_whose_sum_overflows_are_taken(folder) -> None:
    edit_tensors(folder, lambda t: t["lm_head.weight"].fill_(3e38))
    assert load(folder).model.lm_head.weight[0, 0] == torch.tensor(3e38)


def test_a_model_built_to_be_loaded_draws_nothing() -> None:
    with Undrawn():
        linear = torch.nn.Linear(4, 4)
        linear.weight.data.fill_(7)
        torch.nn.init.normal_(linear.weight)
    assert (linear.weight == 7).all()


def test_loading_leaves_the_random_state_alone(folder) -> None:
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_partial_file_is_left(folder) -> None:
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        load(folder)


def test_a_missing_tensor_is_named(folder) -> None:
    edit_tensors(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(CheckpointError, match=r"missing lm_head\.weight"):
        load(folder)


def test_an_unexpected_tensor_is_named(folder) -> None:
    edit_tensors(folder, lambda tensors: tensors.update(stray=torch.zeros(1)))
    with pytest.raises(CheckpointError, match="unexpected stray"):
        load(folder)


def test_a_mis_shaped_tensor_is_named_with_both_shapes(folder) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(3, 2)}))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight has shape \(3, 2\), expected \("):
        load(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_tensor_that_is_not_finite_is_named(folder, value: float) -> None:
    edit_tensors(folder, lambda tensors: tensors["lm_head.weight"][0].fill_(value))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight holds NaN or infinity"):
        load(folder)


def test_truncated_weights_are_refused(folder) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_configuration_is_refused(folder, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not valid"):
        load(folder)


def test_an_unknown_field_of_the_configuration_is_named(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"]["decoder"]["widht"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="widht"):
        load(folder)


def test_a_tokenizer_of_another_size_is_refused(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"]["decoder"]["vocab_size"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="tokenizer has"):
        load(folder)
