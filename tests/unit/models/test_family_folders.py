"""What of a folder of Hugging Face format is read, and what is refused; see tests/parity too."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import load, read_config
from models.checkpoint_error import CheckpointError
from models.config import LinearRope, Llama3Rope, OmniConfig
from models.families.janus_config import JanusImageTokenizerConfig, JanusVisionConfig
from models.preprocessing.conversation import Audio, Picture, Role, Turn
from models.preprocessing.encoded_prompt import PromptError
from models.preprocessing.images import SquarePadding
from tests.support.family_folders import (
    JANUS,
    LLAMA,
    NUM_IDS,
    write_index,
    write_janus_config,
    write_llama,
)


def test_shards_give_the_model_that_one_file_gives(tmp_path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, num_shards in ((whole, 1), (parts, 3)):
        folder.mkdir()
        write_llama(folder, num_shards)
    expected = load(whole).model.state_dict()
    for name, tensor in load(parts).model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_text_model_has_no_towers_and_no_codes(tmp_path) -> None:
    write_llama(tmp_path)
    loaded = load(tmp_path)
    assert {name.split(".")[0] for name in loaded.model.state_dict()} == {
        "language_model",
        "value_head",
    }
    assert loaded.model.value(torch.ones(2, 32)).tolist() == [0, 0]
    assert (loaded.grammar.codes_per_image, loaded.grammar.draws_images) == (0, False)
    assert loaded.grammar.text_mask_V(allow_image=True).tolist() == (
        loaded.grammar.text_mask_V(allow_image=False).tolist()
    )


def test_a_text_model_refuses_media_and_drawings(tmp_path) -> None:
    write_llama(tmp_path)
    loaded = load(tmp_path)
    for medium, kind in ((Picture(b""), "pictures"), (Audio(b""), "audio")):
        with pytest.raises(PromptError, match=f"takes no {kind}"):
            loaded.preprocessor.encode((Turn(Role.USER, (medium,)),))
    with pytest.raises(PromptError, match="draws no pictures"):
        loaded.preprocessor.encode((Turn(Role.USER, ()),), begin_image=True)
    for call in (
        lambda: loaded.model.image_logits(torch.zeros(1, 32)),
        lambda: loaded.model.embed(torch.tensor([[NUM_IDS]])),
        lambda: loaded.grammar.end_of_image,
    ):
        with pytest.raises(ValueError, match="draws no pictures"):
            call()
    with pytest.raises(ValueError, match="no vision encoder"):
        loaded.model.encode_tiles(torch.zeros(1, 3, 8, 8))


def test_a_head_in_the_folder_is_used_whatever_the_configuration_says(tmp_path) -> None:
    write_llama(tmp_path, extra={"lm_head.weight": torch.full((NUM_IDS, 32), 2.0)})
    loaded = load(tmp_path)
    assert not loaded.model.config.decoder.tied_head
    assert loaded.model.text_logits(torch.ones(1, 32)).unique().tolist() == [64.0]


@pytest.mark.parametrize("type_name", ["type", "rope_type"])
def test_older_files_say_rope_scaling_beside_rope_theta(tmp_path, type_name: str) -> None:
    scaling = {type_name: "linear", "factor": 4.0}
    write_llama(tmp_path, rope_scaling=scaling, rope_theta=500.0)
    decoder = read_config(tmp_path)[0].decoder
    assert (decoder.rope_theta, decoder.rope_scaling) == (500.0, LinearRope(factor=4.0))


def test_scaled_rope_is_read_from_its_parameters(tmp_path) -> None:
    numbers = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    write_llama(
        tmp_path,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "original_max_position_embeddings": 16,
            **numbers,
        },
    )
    decoder = read_config(tmp_path)[0].decoder
    assert decoder.rope_scaling == Llama3Rope(original_length=16, **numbers)
    assert decoder.rope_theta == 5e5


def test_weights_of_half_precision_load_as_float32(tmp_path) -> None:
    write_llama(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({n: t.bfloat16() for n, t in tensors.items()}, tmp_path / "model.safetensors")
    loaded = load(tmp_path).model.language_model.norm.weight
    assert torch.equal(loaded, tensors["model.norm.weight"].bfloat16().float())


def test_buffers_of_old_files_are_left_out(tmp_path) -> None:
    write_llama(tmp_path, extra={"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "phi3"}, "model_type is 'phi3'.* allowed: llama, mistral, qwen2, janus"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu': Input should be 'silu'"),
        ({"attention_bias": True}, "attention_bias is True: Input should be False"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_type is 'yarn': .*'linear' or 'llama3'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor is None"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"model_type": "mistral", "sliding_window": 32}, "sliding_window is 32; allowed: null"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 32},
            "sliding_window is 32",
        ),
        (
            {"model_type": "qwen2", "layer_types": ["sliding_attention"]},
            "layer_types.0 is 'sliding_attention'",
        ),
        ({"num_key_value_heads": 3}, "must be a multiple of num_kv_heads 3"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"vocab_size": 200}, r"tokenizer has ids \[200, 201, 202, 203\], the model 200"),
    ],
)
def test_what_cannot_be_run_is_named_with_its_value_and_what_is_allowed(
    tmp_path, changes, message: str
) -> None:
    write_llama(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, **changes}))
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("window", [None, 64, 4096])
def test_a_window_as_long_as_the_context_is_none(tmp_path, window: int | None) -> None:
    write_llama(tmp_path, model_type="mistral", sliding_window=window)
    assert read_config(tmp_path)[0].decoder.max_length == 64


def test_a_window_of_qwen2_that_is_not_used_is_none(tmp_path) -> None:
    write_llama(tmp_path, model_type="qwen2", sliding_window=32)
    assert read_config(tmp_path)[0].decoder.qkv_bias


def test_pickles_are_refused(tmp_path) -> None:
    write_llama(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickle \(pytorch_model.bin\), which is never read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("gone.safetensors", "lacks gone.safetensors"),
        ("../model.safetensors", r"names '\.\./model.safetensors'; expected safetensors files"),
        ("pytorch_model.bin", "names 'pytorch_model.bin'"),
    ],
)
def test_an_index_that_names_no_shard_beside_it_is_refused(tmp_path, shard, message) -> None:
    write_llama(tmp_path, num_shards=2)
    write_index(tmp_path, {"model.norm.weight": shard})
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path) -> None:
    write_llama(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model.safetensors, and .*index\.json"):
        load(tmp_path)


def test_tensors_that_the_model_does_not_have_are_named(tmp_path) -> None:
    write_llama(tmp_path, extra={"model.layers.0.self_attn.o_proj.bias": torch.zeros(32)})
    with pytest.raises(CheckpointError, match=r"unexpected language_model.*o_proj\.bias"):
        load(tmp_path)


def test_a_truncated_shard_is_refused(tmp_path) -> None:
    write_llama(tmp_path)
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path)


def test_janus_is_read_in_the_projects_own_terms(tmp_path) -> None:
    write_janus_config(tmp_path)
    config, preprocessor = read_config(tmp_path)
    assert config.vision == JanusVisionConfig(
        tile_size=32, patch_size=8, width=32, num_layers=1, num_heads=2, mlp_width=128,
        pixel_mean=(0.5, 0.47, 0.41), pixel_std=(0.5, 0.25, 0.27),
    )  # fmt: skip
    assert config.vq == JanusImageTokenizerConfig(
        image_size=8, channels=(32, 64), latent_channels=32, codebook_size=48, code_width=8
    )
    assert (config.codes_per_image, config.patches_per_tile) == (16, 16)
    assert preprocessor.config.padding == SquarePadding((127, 119, 104), 14)
    assert preprocessor.config.max_tiles == 1
    assert OmniConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("vision_config", {"use_qk_norm": True}, "vision_config.use_qk_norm is True"),
        ("vision_config", {"depth": 3}, "vision_config.depth is 3: Input should be 2"),
        ("vision_config", {"num_image_tokens": 9}, "num_image_tokens is 9; .* it must be 16"),
        ("vision_config", {"projection_dim": 64}, "vision_config.projection_dim is 64"),
        ("vq_config", {"double_latent": True}, "vq_config.double_latent is True"),
        ("vq_config", {"image_token_embed_dim": 8}, "image_token_embed_dim is 8"),
        ("text_config", {"hidden_act": "gelu"}, "text_config.hidden_act is 'gelu'"),
    ],
)
def test_parts_of_janus_that_cannot_be_run_are_named(tmp_path, section, changes, message) -> None:
    write_janus_config(tmp_path, **{section: {**JANUS[section], **changes}})
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (None, "lacks preprocessor_config.json"),
        ({"image_mean": [0.5] * 3}, "image_std is"),
        (
            {"image_mean": [0.5] * 3, "image_std": [1.0] * 3, "size": {"height": 8, "width": 8}},
            "size is 8×8 .* takes 32×32",
        ),
    ],
)
def test_janus_needs_to_know_how_pixels_are_normalised(tmp_path, pixels, message: str) -> None:
    write_janus_config(tmp_path)
    if pixels is None:
        (tmp_path / "preprocessor_config.json").unlink()
    else:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(pixels))
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


def test_parts_that_need_each_other_are_given_together() -> None:
    with pytest.raises(ValueError, match="vq and generation belong together"):
        OmniConfig(vq=None)
    with pytest.raises(ValueError, match="video needs vision"):
        OmniConfig(vision=None, video={})
    with pytest.raises(ValueError, match="vision needs image_token"):
        OmniConfig(image_token=None)
    with pytest.raises(ValueError, match="'siglip' found using"):
        OmniConfig(vision={"family": "siglip"})


def test_a_ramp_of_rope_must_rise() -> None:
    with pytest.raises(ValueError, match=r"high_freq_factor 1\.0 must be above"):
        Llama3Rope(factor=8, low_freq_factor=1, high_freq_factor=1, original_length=64)
