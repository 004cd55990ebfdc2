"""Audio and video encoders: what they depend on, and how their features enter a sequence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.checkpoint import Checkpoint
from models.config import AudioConfig, OmniConfig, VideoConfig
from models.media import MediaTensors, first_features
from models.omni import OmniModel
from models.preprocessing.media_arrays import MediaArrays

NOTHING = MediaArrays(
    tiles_NSS3=np.zeros((0, 8, 8, 3), np.uint8),
    mels_NMT=np.zeros((0, 8, 32), np.float32),
    mel_tokens_N=np.zeros(0, np.int64),
    frames_NSS3=np.zeros((0, 8, 8, 3), np.uint8),
    times_N=np.zeros(0, np.float32),
)
RNG = np.random.default_rng(0)
PICTURES = replace(NOTHING, tiles_NSS3=RNG.integers(0, 256, (2, 8, 8, 3), np.uint8))
RECORDINGS = replace(
    NOTHING,
    mels_NMT=RNG.normal(size=(3, 8, 32)).astype(np.float32),
    mel_tokens_N=np.array([4, 1, 2]),
)
CLIP = replace(
    NOTHING,
    frames_NSS3=RNG.integers(0, 256, (2, 8, 8, 3), np.uint8),
    times_N=np.array([0, 0.5], np.float32),
)


@torch.no_grad()
def features(model: OmniModel, *media: MediaArrays) -> torch.Tensor | None:
    return model.encode_media(MediaTensors.from_arrays(MediaArrays.concatenate(media)))


def test_each_kind_gives_its_features_whatever_is_beside_it(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    alone = [features(model, one) for one in (PICTURES, RECORDINGS, CLIP)]
    assert [len(part) for part in alone] == [2 * 4, 4 + 1 + 2, 2]
    together = features(model, CLIP, RECORDINGS, PICTURES)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


def test_no_media_give_no_features(checkpoint: Checkpoint) -> None:
    assert features(checkpoint.model, NOTHING) is None


def test_a_window_does_not_depend_on_other_windows(checkpoint: Checkpoint) -> None:
    last = replace(
        NOTHING, mels_NMT=RECORDINGS.mels_NMT[2:], mel_tokens_N=RECORDINGS.mel_tokens_N[2:]
    )
    torch.testing.assert_close(
        features(checkpoint.model, RECORDINGS)[5:],
        features(checkpoint.model, last),
        atol=1e-6,
        rtol=0,
    )


def test_a_frame_is_told_its_time(checkpoint: Checkpoint) -> None:
    later = replace(CLIP, times_N=CLIP.times_N + np.float32(0.25))
    now, then = (features(checkpoint.model, clip) for clip in (CLIP, later))
    assert (now - then).abs().max() > 1e-3


def test_squares_of_patches_are_neighbours(config: OmniConfig) -> None:
    """The merger gets the four patches of each quarter of the picture, in reading order."""
    wide = config.model_copy(update={"vision": config.vision.model_copy(update={"tile_size": 16})})
    aligner = OmniModel(wide).video_aligner
    patches_NPD = torch.arange(16.0)[None, :, None].expand(1, 16, 12)
    squares = aligner._squares(patches_NPD)
    assert squares.shape == (1, 4, 48)
    assert squares[0, :, ::12].tolist() == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15],
    ]  # fmt: skip


def test_placeholders_of_each_kind_take_their_own_features(checkpoint: Checkpoint) -> None:
    model, special = checkpoint.model, checkpoint.preprocessor.tokenizer.special
    ids = torch.tensor([[special.video, special.audio, 20], [special.audio, special.image, 21]])
    features_FD = torch.arange(4.0)[:, None].expand(4, 16)
    hidden_BLD = model.embed(ids, features_FD)
    assert hidden_BLD[:, :2, 0].tolist() == [[3, 1], [2, 0]]


def test_the_first_features_of_a_unit_stay() -> None:
    features_NPD = torch.arange(6.0).view(2, 3, 1)
    assert first_features(features_NPD, torch.tensor([1, 2])).flatten().tolist() == [0, 3, 4]


def test_gradients_reach_both_encoders(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    media = MediaTensors.from_arrays(MediaArrays.concatenate([RECORDINGS, CLIP]))
    model.encode_media(media).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("audio_", "video_", "vision_model.")):
            assert parameter.grad is not None, name


def test_a_model_without_an_encoder_says_so(config: OmniConfig) -> None:
    deaf = OmniModel(config.model_copy(update={"audio": None, "video": None}))
    with pytest.raises(ValueError, match="no audio encoder"):
        features(deaf, RECORDINGS)
    with pytest.raises(ValueError, match="takes no video"):
        features(deaf, CLIP)
    assert not any(n.startswith(("audio_", "video_")) for n, _ in deaf.named_parameters())


def test_windows_that_are_not_whole_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the 8 frames"):
        AudioConfig(window_frames=100)


def test_a_merge_that_does_not_divide_the_grid_is_refused(config: OmniConfig) -> None:
    with pytest.raises(ValueError, match=r"video\.merge 3 must divide"):
        OmniConfig(**{**config.model_dump(), "video": VideoConfig(merge=3)})
