"""torch against ONNX for each kind of reward model: per graph, end to end, and by batch."""

import numpy as np
import onnxruntime
import pytest
import torch

from models.checkpoint import preprocessing_of
from models.config import AudioConfig, DecoderConfig, OmniConfig, VideoConfig
from models.export import export_reward
from models.media import MediaTensors
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from models.reward import RewardModel
from models.reward_config import RewardConfig, RewardFile, read_reward_file
from services.reward.scorers.contract import ScoringItem
from services.reward.scorers.onnx import load_reward
from services.reward.scorers.onnx_graphs import EncodedItem
from tests.unit.reward.tiny_reward import (
    CALIBRATION,
    exported,
    make_preprocessor,
    make_reward,
    various_items,
)

LENGTH = 256
KINDS = [("causal", "last"), ("bidirectional", "mean")]


def encoded(
    items: list[ScoringItem], preprocessor: Preprocessor | None = None
) -> list[EncodedItem]:
    encode = (preprocessor or make_preprocessor()).encode_with_answer
    prompts = [encode(item.conversation, item.answer) for item in items]
    return [EncodedItem(p.token_ids, p.media) for p in prompts]


def torch_scores(model: RewardModel, one: EncodedItem) -> tuple[np.ndarray, float]:
    with torch.no_grad():
        features_FD = model.trunk.encode_media(MediaTensors.from_arrays(one.media))
        ids_BL = torch.from_numpy(one.token_ids)[None]
        rewards_BK, acceptability_B = model(ids_BL, torch.tensor([ids_BL.shape[1]]), features_FD)
    return rewards_BK[0].numpy(), float(acceptability_B)


@pytest.mark.parametrize(("attention", "pooling"), KINDS)
def test_onnx_scores_as_torch_does(attention: str, pooling: str) -> None:
    graphs = load_reward(exported(attention, pooling), num_threads=1).graphs
    model = make_reward(attention, pooling)
    items = encoded(various_items(16))
    raw = graphs.run(items, length=LENGTH)
    for b, one in enumerate(items):
        rewards_K, acceptability = torch_scores(model, one)
        np.testing.assert_allclose(raw.rewards_BK[b], rewards_K, atol=1e-4, rtol=0)
        np.testing.assert_allclose(raw.acceptability_B[b], acceptability, atol=1e-4, rtol=0)
    assert np.ptp(raw.rewards_BK) > 0.1  # else equal scores would say nothing


@pytest.mark.parametrize(("attention", "pooling"), KINDS)
def test_neither_batch_nor_padding_changes_a_score(attention: str, pooling: str) -> None:
    graphs = load_reward(exported(attention, pooling), num_threads=1).graphs
    items = encoded(various_items(12))
    together = graphs.run(items, length=LENGTH)
    for b, one in enumerate(items):
        alone = graphs.run([one], length=len(one.token_ids))
        np.testing.assert_allclose(alone.rewards_BK[0], together.rewards_BK[b], atol=1e-5, rtol=0)
    again = graphs.run(items, length=LENGTH)
    assert np.array_equal(again.rewards_BK, together.rewards_BK)


def test_the_vision_graph_sees_as_torch_does() -> None:
    model = make_reward()
    session = onnxruntime.InferenceSession(exported() / "vision.onnx")
    tiles_N3SS = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    [features_NPD] = session.run(None, {"tiles": tiles_N3SS.numpy()})
    with torch.no_grad():
        expected_NPD = model.trunk.encode_tiles(tiles_N3SS).numpy()
    np.testing.assert_allclose(features_NPD, expected_NPD, atol=1e-5, rtol=0)


def test_the_audio_and_video_graphs_sense_as_torch_does() -> None:
    model, random = make_reward().trunk, torch.Generator().manual_seed(0)
    audio = onnxruntime.InferenceSession(exported() / "audio.onnx")
    mels_NMT = torch.rand(5, 16, 80, generator=random) * 2 - 1
    [features_NPD] = audio.run(None, {"mels": mels_NMT.numpy()})
    with torch.no_grad():
        expected_NPD = model.encode_windows(mels_NMT).numpy()
    np.testing.assert_allclose(features_NPD, expected_NPD, atol=1e-5, rtol=0)
    video = onnxruntime.InferenceSession(exported() / "video.onnx")
    frames_N3SS, times_N = torch.rand(4, 3, 32, 32, generator=random), torch.arange(4.0)
    [features_NPD] = video.run(None, {"frames": frames_N3SS.numpy(), "times": times_N.numpy()})
    with torch.no_grad():
        expected_NPD = model.encode_frames(frames_N3SS, times_N).numpy()
    np.testing.assert_allclose(features_NPD, expected_NPD, atol=1e-5, rtol=0)


def test_a_model_of_the_default_size_agrees(tmp_path) -> None:
    preprocessor = make_preprocessor()
    decoder = DecoderConfig(vocab_size=preprocessor.tokenizer.vocab_size)
    config = OmniConfig(decoder=decoder, audio=AudioConfig(), video=VideoConfig())
    preprocessor = Preprocessor(preprocessing_of(config), preprocessor.tokenizer)
    model = RewardModel(OmniModel(config), RewardConfig(num_heads=4)).train()
    export_reward(tmp_path, model, preprocessor, CALIBRATION)
    assert model.training
    graphs = load_reward(tmp_path, num_threads=1).graphs
    items = encoded(various_items(4), preprocessor)
    raw = graphs.run(items, length=LENGTH)
    for b, one in enumerate(items):
        np.testing.assert_allclose(
            raw.rewards_BK[b], torch_scores(model.eval(), one)[0], atol=1e-4, rtol=0
        )


def test_the_configuration_says_all_that_serving_needs() -> None:
    file = read_reward_file(exported("bidirectional", "mean") / "config.json")
    expected = RewardFile(
        model=make_reward().trunk.config,
        preprocessor=make_preprocessor().config,
        reward=RewardConfig(attention="bidirectional", pooling="mean", num_heads=2),
        calibration=CALIBRATION,
        fingerprint=make_preprocessor().fingerprint,
    )
    assert file == expected
