import torch

from models.config import ImageTokenizerConfig
from models.image_tokenizer import Codebook, ImageTokenizer
from models.initialization import init_fan_in

CONFIG = ImageTokenizerConfig(
    image_size=8, channels=(4, 4, 8), norm_groups=2, codebook_size=16, code_width=4
)


def make_tokenizer() -> ImageTokenizer:
    tokenizer = ImageTokenizer(CONFIG)
    init_fan_in(tokenizer, torch.Generator().manual_seed(0))
    return tokenizer


def images() -> torch.Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_pictures_become_codes_of_the_grid_and_pictures_again() -> None:
    tokenizer = make_tokenizer()
    codes_NT = tokenizer.encode(images())
    assert codes_NT.shape == (3, CONFIG.codes_per_image)
    assert codes_NT.dtype == torch.int64
    decoded = tokenizer.decode(codes_NT)
    assert decoded.shape == (3, 3, 8, 8)
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_the_length_of_a_codebook_entry_changes_nothing() -> None:
    tokenizer = make_tokenizer()
    codes_NT = tokenizer.encode(images())
    decoded = tokenizer.decode(codes_NT)
    with torch.no_grad():
        tokenizer.quantize.embedding.weight.mul_(torch.rand(16, 1) + 0.5)
    assert torch.equal(tokenizer.encode(images()), codes_NT)
    torch.testing.assert_close(tokenizer.decode(codes_NT), decoded)


def test_the_nearest_code_is_the_one_of_highest_cosine() -> None:
    codebook = Codebook(3, 2)
    with torch.no_grad():
        codebook.embedding.weight.copy_(torch.tensor([[5.0, 0], [0, 0.1], [-1, -1]]))
    assert codebook.nearest(torch.tensor([[0.6, 0.8], [0.8, 0.6]])).tolist() == [1, 0]


def test_reconstruction_sends_a_gradient_to_the_encoder() -> None:
    tokenizer = make_tokenizer()
    tokenizer(images()).images_N3SS.square().mean().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in tokenizer.encoder.parameters()
    )


def test_codebook_losses_move_only_their_own_side() -> None:
    tokenizer = make_tokenizer()
    tokenizer(images()).codebook_loss.backward()
    assert tokenizer.quantize.embedding.weight.grad is not None
    assert all(p.grad is None for p in tokenizer.encoder.parameters())
    tokenizer.zero_grad(set_to_none=True)
    tokenizer(images()).commitment_loss.backward()
    assert tokenizer.quantize.embedding.weight.grad is None


def test_dead_codes_move_onto_encoder_outputs() -> None:
    codebook = Codebook(3, 2)
    before = codebook.embedding.weight.detach().clone()
    outputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    moved = codebook.revive(
        torch.tensor([False, True, True]), outputs, torch.Generator().manual_seed(0)
    )
    assert moved == 2
    assert torch.equal(codebook.embedding.weight[0], before[0])
    assert all(any(torch.equal(row, o) for o in outputs) for row in codebook.embedding.weight[1:])
