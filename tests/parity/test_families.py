"""Folders of Hugging Face format against transformers, on tiny random models made here."""

import io
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from models import checkpoint
from models.attention import DenseAttention
from models.likelihood import completion_logprobs
from models.media import MediaTensors
from models.preprocessing.conversation import Picture, Role, Text, Turn
from models.preprocessing.images import encode_png
from services.policy.engine.request import Group, OutputMode, Sampling
from services.policy.engine.served_model import served_model
from services.policy.samples import answers_to_parts
from tests.support.family_folders import (
    JANUS_SPECIALS,
    LLAMA_SPECIALS,
    NUM_IDS,
    write_pixels,
    write_tokenizer,
)
from tests.unit.policy.tiny_policy import generate, running_engine

transformers = pytest.importorskip(
    "transformers", reason="it is what families are compared with; the dev extra brings it"
)

SIZES = {
    "vocab_size": NUM_IDS, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "initializer_range": 0.2, "eos_token_id": 2, "bos_token_id": 1,
}  # fmt: skip
LLAMA_3_ROPE = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
FAMILIES = {
    "llama": ("Llama", {}),
    "llama, tied, linear rope": (
        "Llama",
        {
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0},
        },
    ),
    "llama, llama3 rope": ("Llama", {"rope_parameters": LLAMA_3_ROPE}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True, "rms_norm_eps": 1e-5}),
    "mistral": ("Mistral", {"head_dim": 32}),
}
IDS = torch.randint(0, NUM_IDS, (2, 100), generator=torch.Generator().manual_seed(3))
SIDE, PATCH = 32, 8
NUM_CODES = (SIDE // PATCH) ** 2
VISION = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
    "patch_size": PATCH, "mlp_ratio": 2.0, "projection_dim": 64, "num_image_tokens": NUM_CODES,
    "initializer_range": 0.2,
}  # fmt: skip
CODES = {
    "embed_dim": 8, "num_embeddings": 48, "latent_channels": 32, "base_channels": 32,
    "channel_multiplier": [1, 2, 2], "num_res_blocks": 1, "projection_dim": 64,
    "image_token_embed_dim": 64, "initializer_range": 0.2,
}  # fmt: skip
DRAW = (Turn(Role.USER, (Text("draw a red circle"),)),)


def randomized(model):
    """Norms and biases too, which begin at one and at zero."""
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return model.eval()


def saved(model, folder, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, **settings)
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def llama(request, tmp_path_factory):
    """(the model in transformers, what was loaded of it)."""
    name, settings = FAMILIES[request.param]
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**SIZES, **settings)
    model = randomized(getattr(transformers, f"{name}ForCausalLM")(config))
    folder = saved(model, tmp_path_factory.mktemp("llama"))
    write_tokenizer(folder, LLAMA_SPECIALS)
    return model, checkpoint.load(folder)


@pytest.fixture(scope="module")
def janus_folder(tmp_path_factory):
    torch.manual_seed(2)
    config = transformers.JanusConfig(
        text_config={"model_type": "llama", **SIZES, "pad_token_id": 0},
        vision_config=VISION,
        vq_config=CODES,
        image_token_id=JANUS_SPECIALS.index("<image_placeholder>"),
        tie_word_embeddings=False,
    )
    model = randomized(transformers.JanusForConditionalGeneration(config))
    folder = saved(model, tmp_path_factory.mktemp("janus"), max_shard_size="300KB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    write_tokenizer(folder, JANUS_SPECIALS, pad_token="<pad>")
    write_pixels(folder, SIDE)
    return model, folder


@pytest.fixture(scope="module")
def janus(janus_folder):
    """(the model in transformers, what was loaded of it)."""
    model, folder = janus_folder
    return model, served_model("janus", checkpoint.load(folder))


@torch.no_grad()
def dense_logits(model, ids_BL, features_FD=None):
    positions_BL = torch.arange(ids_BL.shape[1]).expand_as(ids_BL)
    hidden_BLD = model.embed(ids_BL, features_FD)
    return model.text_logits(model.decode(hidden_BLD, positions_BL, DenseAttention()))


@torch.no_grad()
def test_logits_of_llamas_class_are_those_of_transformers(llama):
    theirs, loaded = llama
    expected_BLV = theirs(IDS).logits
    assert expected_BLV.std() > 0.5
    assert (dense_logits(loaded.model, IDS) - expected_BLV).abs().max() <= 1e-4


def test_the_engine_takes_the_ids_that_transformers_finds_likeliest(llama):
    theirs, loaded = llama
    served = served_model("llama", loaded)
    prompt = served.preprocessor.encode((Turn(Role.USER, (Text("what colour is it?"),)),))
    group = Group(0, prompt, Sampling(60, 7, temperature=0.0, ignore_eos=True), 1)
    with running_engine() as engine:
        [sample] = generate(engine, served, [group])
    ids_BL = torch.from_numpy(np.concatenate([prompt.token_ids, sample.token_ids_T]))[None]
    with torch.no_grad():
        logits_TV = theirs(ids_BL).logits[0, len(prompt.token_ids) - 1 : -1]
    allowed_TV = logits_TV + served.text_bias_2V[0]
    assert sample.token_ids_T.tolist() == allowed_TV.argmax(dim=-1).tolist()


def test_logprobs_of_the_engine_are_those_of_the_dense_model(llama):
    served = served_model("llama", llama[1])
    prompt = served.preprocessor.encode((Turn(Role.USER, (Text("what colour is it?"),)),))
    check_likelihood(served, Group(0, prompt, Sampling(40, 7, ignore_eos=True), 3))


def test_what_is_saved_in_the_projects_own_format_is_the_same_model(llama, tmp_path):
    _, loaded = llama
    checkpoint.save(tmp_path, loaded.model, loaded.preprocessor)
    again = checkpoint.load(tmp_path)
    assert again.preprocessor.fingerprint == loaded.preprocessor.fingerprint
    assert again.model.config == loaded.model.config
    assert torch.equal(dense_logits(again.model, IDS), dense_logits(loaded.model, IDS))


def check_likelihood(served, group, **settings):
    """What the engine reports of its samples against one dense pass over each."""
    prompt_ids, features_FD = group.prompt.token_ids, None
    with running_engine() as engine:
        samples = generate(engine, served, [group])
    with torch.no_grad():
        features_FD = served.model.encode_media(MediaTensors.from_arrays(group.prompt.media))
    for sample in samples:
        ids_BL = torch.from_numpy(np.concatenate([prompt_ids, sample.token_ids_T]))[None]
        lengths_B = torch.tensor([len(prompt_ids)]), torch.tensor([ids_BL.shape[1]])
        with torch.no_grad():
            dense = completion_logprobs(
                served.model, served.grammar, ids_BL, *lengths_B, features_FD, **settings
            )
        np.testing.assert_allclose(sample.logprobs_T, dense.logprobs_BT[0], atol=1e-4)


def picture(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.kron(pixels[::8, ::8], np.ones((8, 8, 1), np.uint8))[:height, :width]


def their_pixels(pixels, folder):
    from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

    settings = json.loads((folder / "preprocessor_config.json").read_text())
    processor = JanusImageProcessorPil(**settings)
    return processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("size", [(48, 48), (70, 41), (19, 200), (8, 6)])
def test_pictures_for_janus_are_resized_padded_and_normalised_as_in_transformers(
    janus_folder, janus, size
):
    pixels, (_, served) = picture(*size), janus
    media = served.preprocessor.media_arrays([Picture(encode_png(pixels))])
    tiles_N3SS = MediaTensors.from_arrays(media).tiles_N3SS
    tower = served.model.vision_model
    normal_N3SS = (tiles_N3SS - tower.get_buffer("mean")) / tower.get_buffer("std")
    torch.testing.assert_close(
        normal_N3SS, their_pixels(pixels, janus_folder[1]), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_logits_of_janus_about_a_picture_are_those_of_transformers(janus_folder, janus):
    theirs, served = janus
    pixels = picture(70, 41)
    parts = (Picture(encode_png(pixels)), Text("what colour is it?"))
    prompt = served.preprocessor.encode((Turn(Role.USER, parts),))
    ids_BL = torch.from_numpy(prompt.token_ids)[None]
    expected_BLV = theirs(ids_BL, pixel_values=their_pixels(pixels, janus_folder[1])).logits
    features_FD = served.model.encode_media(MediaTensors.from_arrays(prompt.media))
    logits_BLV = dense_logits(served.model, ids_BL, features_FD)
    assert (ids_BL == served.grammar.special.image).sum() == NUM_CODES
    assert expected_BLV.std() > 0.5
    assert (logits_BLV - expected_BLV).abs().max() <= 1e-4


def test_logprobs_of_janus_about_a_picture_are_those_of_the_dense_model(janus):
    served = janus[1]
    parts = (Text("look:"), Picture(encode_png(picture(41, 70))), Text("what is it?"))
    prompt = served.preprocessor.encode((Turn(Role.USER, parts),))
    check_likelihood(served, Group(0, prompt, Sampling(24, 3, ignore_eos=True), 2))
    drawn = served.preprocessor.encode(DRAW, begin_image=True)
    sampling = Sampling(NUM_CODES + 1, 3, output=OutputMode.IMAGE)
    check_likelihood(served, Group(0, drawn, sampling, 2), allow_image=True)


@pytest.fixture(scope="module")
def greedy_drawing(janus):
    """Ids of a picture that the engine drew under guidance, greedily."""
    served = janus[1]
    prompt = served.preprocessor.encode(DRAW, begin_image=True)
    settings = {"temperature": 0.0, "guidance_scale": 5.0, "output": OutputMode.IMAGE}
    with running_engine() as engine:
        [sample] = generate(
            engine, served, [Group(0, prompt, Sampling(NUM_CODES + 1, 1, **settings), 1)]
        )
    assert sample.token_ids_T[-1] == served.grammar.end_of_image
    return prompt, sample.token_ids_T


def test_a_greedy_drawing_under_guidance_has_the_codes_of_transformers(janus, greedy_drawing):
    theirs, served = janus
    prompt, ids_T = greedy_drawing
    special = served.grammar.special
    theirs.generation_config.pad_token_id = special.pad
    theirs.generation_config.generation_kwargs = {"boi_token_id": special.begin_of_image}
    ids_BL = torch.from_numpy(prompt.token_ids)[None]
    codes_BT = theirs.generate(
        ids_BL, attention_mask=torch.ones_like(ids_BL), generation_mode="image",
        do_sample=False, guidance_scale=5,
    )  # fmt: skip
    assert (ids_T[:-1] - served.grammar.vocab_size).tolist() == codes_BT[0].tolist()
    assert len(set(codes_BT[0].tolist())) > 3


@torch.no_grad()
def test_a_drawing_comes_out_with_the_pixels_of_transformers(janus, greedy_drawing):
    theirs, served = janus
    ids_T = greedy_drawing[1]
    [[part]] = answers_to_parts(served, [(ids_T.tolist(), ())])
    pixels_SS3 = np.asarray(Image.open(io.BytesIO(part.media.data)))
    codes_BT = torch.from_numpy(ids_T[:-1] - served.grammar.vocab_size)[None]
    expected_SS3 = (theirs.decode_image_tokens(codes_BT)[0] + 1) / 2 * 255
    assert pixels_SS3.std() > 10
    assert np.abs(pixels_SS3 - expected_SS3.clamp(0, 255).numpy()).max() <= 1


@torch.no_grad()
def test_pictures_encode_to_the_nearest_codes_by_direction(janus):
    """transformers' encoder, and then what DeepSeek's code does: both sides normalised."""
    theirs, served = janus
    images_N3SS = torch.rand(3, 3, SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(4))
    vqmodel = theirs.model.vqmodel
    latent_NEHW = vqmodel.quant_conv(vqmodel.encoder(images_N3SS * 2 - 1))
    unit_NTE = torch.nn.functional.normalize(latent_NEHW.flatten(2).mT, dim=-1)
    codebook_KE = torch.nn.functional.normalize(vqmodel.quantize.embedding.weight, dim=-1)
    expected_NT = (unit_NTE @ codebook_KE.T).argmax(-1)
    assert served.model.vqmodel.encode(images_N3SS).tolist() == expected_NT.tolist()
    assert len(set(expected_NT.flatten().tolist())) > 3


def test_janus_saved_in_the_projects_own_format_draws_the_same(janus, greedy_drawing, tmp_path):
    served = janus[1]
    checkpoint.save(tmp_path, served.model, served.preprocessor)
    again = checkpoint.load(tmp_path)
    assert again.preprocessor.fingerprint == served.preprocessor.fingerprint
    answers = [(greedy_drawing[1].tolist(), ())]
    [[first]] = answers_to_parts(served, answers)
    [[second]] = answers_to_parts(served_model("again", again), answers)
    assert first.media.data == second.media.data
