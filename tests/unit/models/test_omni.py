import math

import pytest
import torch

from models.attention import DenseAttention
from models.checkpoint import Checkpoint
from models.config import DecoderConfig, OmniConfig
from models.decoder import Rotation
from models.omni import OmniModel
from services.trainer.pretraining.sampling import GrowingCache


def sequence(checkpoint: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids of text, a tile and codes; the tile)."""
    image, size = checkpoint.model.config.image_token, checkpoint.model.config.decoder.vocab_size
    ids = [20, image, image, image, image, 21, size + 3, size, 22]
    return torch.tensor([ids]), torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_one_position_at_a_time_equals_all_at_once(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    ids_BL, tiles_N3SS = sequence(checkpoint)
    hidden_BLD = model.embed(ids_BL, model.encode_tiles(tiles_N3SS).flatten(0, 1))
    positions_BL = torch.arange(9)[None]
    dense_BLD = model.decode(hidden_BLD, positions_BL, DenseAttention())
    cache = GrowingCache()
    steps = [
        model.decode(hidden_BLD[:, i : i + 1], positions_BL[:, i : i + 1], cache) for i in range(9)
    ]
    torch.testing.assert_close(torch.cat(steps, dim=1), dense_BLD, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_on_the_right_changes_no_real_position(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    ids_BL, _ = sequence(checkpoint)
    ids_BL = ids_BL[:, 5:]
    padded_BL = torch.nn.functional.pad(ids_BL, (0, 3))
    positions_BL = torch.arange(7)[None]
    for causal in (True, False):
        lengths_B = torch.tensor([4])
        attention = DenseAttention(lengths_B, causal=causal)
        alone = model.decode(model.embed(ids_BL), positions_BL[:, :4], attention)
        among = model.decode(model.embed(padded_BL), positions_BL, attention)
        torch.testing.assert_close(among[:, :4], alone, atol=1e-6, rtol=0)


@torch.no_grad()
def test_attention_depends_on_relative_positions_only(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    hidden_BLD = model.embed(torch.tensor([[20, 21, 22]]))
    here = model.decode(hidden_BLD, torch.arange(3)[None], DenseAttention())
    there = model.decode(hidden_BLD, torch.arange(40, 43)[None], DenseAttention())
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)


def test_rotation_turns_pairs_by_position_times_frequency() -> None:
    config = DecoderConfig(head_size=2, num_heads=1, num_kv_heads=1)
    turned = Rotation(torch.tensor([[0, 1]]), config).apply(torch.tensor([[[[1.0, 0], [1.0, 0]]]]))
    expected = torch.tensor([[1, 0], [math.cos(1), math.sin(1)]])
    torch.testing.assert_close(turned[0, 0], expected)


def test_features_replace_placeholders_in_order(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    ids_BL, _ = sequence(checkpoint)
    ids_BL = ids_BL.repeat(2, 1)
    features_FD = torch.arange(8.0)[:, None].expand(8, 16)
    hidden_BLD = model.embed(ids_BL, features_FD)
    assert hidden_BLD[:, 1:5, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    without = model.embed(ids_BL[:, 5:])
    assert torch.equal(hidden_BLD[:, 5:], without)


@pytest.mark.parametrize("rows", [0, 3, 5])
def test_features_that_do_not_fit_are_refused(checkpoint: Checkpoint, rows: int) -> None:
    ids_BL, _ = sequence(checkpoint)
    with pytest.raises(ValueError, match=f"4 placeholder ids but {rows} rows"):
        checkpoint.model.embed(ids_BL, torch.zeros(rows, 16))


def test_codes_go_through_their_own_embedding_and_aligner(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    hidden_BLD = model.embed(torch.tensor([[model.config.decoder.vocab_size + 5]]))
    expected_D = model.generation_aligner(model.generation_embeddings.weight[5])
    torch.testing.assert_close(hidden_BLD[0, 0], expected_D)


def test_gradients_reach_every_part_that_an_answer_uses(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    ids_BL, tiles_N3SS = sequence(checkpoint)
    hidden_BLD = model.embed(ids_BL, model.encode_tiles(tiles_N3SS).flatten(0, 1))
    out_BLD = model.decode(hidden_BLD, torch.arange(9)[None], DenseAttention())
    total = model.text_logits(out_BLD).sum() + model.image_logits(out_BLD).sum()
    (total + model.value(out_BLD).sum()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None]
    unused = ("vqmodel.", "audio_", "video_")  # test_senses.py
    assert all(name.startswith(unused) for name in silent)


def test_fresh_weights_follow_from_the_seed(config: OmniConfig) -> None:
    first, same, other = (OmniModel(config, seed) for seed in (3, 3, 4))
    assert torch.equal(first.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert first.value(torch.ones(2, 16)).tolist() == [0, 0]


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="num_heads 4 must be a multiple of num_kv_heads 3"):
        DecoderConfig(num_heads=4, num_kv_heads=3)
