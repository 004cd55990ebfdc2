"""Log-mel frames: where a tone lands, how loud silence is, and how windows are cut."""

import numpy as np
import pytest

from models.preprocessing.log_mel import AudioGrid, audio_windows, log_mel

GRID = AudioGrid(num_mels=40, window_frames=80)


def tone(hertz: float, seconds: float = 0.5, level: float = 0.5) -> np.ndarray:
    times = np.arange(round(seconds * GRID.sample_rate)) / GRID.sample_rate
    return (level * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def loudest_band(hertz: float) -> int:
    return int(log_mel(tone(hertz), GRID).mean(axis=1).argmax())


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    # Slaney's scale: 1 kHz is mel 15, 8 kHz is mel 15 + 27 ln(8) / ln(6.4) = 45.25, in 41 steps.
    step = (15 + 27 * np.log(8) / np.log(6.4)) / 41
    assert abs(loudest_band(1000) - (15 / step - 1)) <= 1
    assert abs(loudest_band(4000) - ((15 + 27 * np.log(4) / np.log(6.4)) / step - 1)) <= 1


@pytest.mark.parametrize(("seconds", "frames"), [(0.5, 50), (0.501, 51), (0.0001, 1)])
def test_there_is_a_frame_for_every_started_hundredth_of_a_second(
    seconds: float, frames: int
) -> None:
    assert log_mel(tone(440, seconds), GRID).shape == (40, frames)


def test_loudness_is_relative_to_the_loudest_but_silence_stays_quiet() -> None:
    loud, soft = log_mel(tone(440), GRID), log_mel(tone(440, level=0.05), GRID)
    np.testing.assert_allclose(loud, soft, atol=0.05)
    assert loud.max() == pytest.approx(1)
    assert log_mel(np.zeros(8000, np.float32), GRID).max() < 0


def test_values_lie_between_minus_one_and_one() -> None:
    mels = log_mel(np.random.default_rng(0).normal(size=16000).astype(np.float32), GRID)
    assert mels.dtype == np.float32
    assert -1 <= mels.min() <= mels.max() <= 1


def test_a_recording_is_cut_into_windows_and_the_last_one_is_padded_with_silence() -> None:
    samples = tone(440, 2.0)
    windows = audio_windows(samples, GRID)
    mels_MT = log_mel(samples, GRID)
    assert windows.mels_NMT.shape == (3, 40, 80)
    assert windows.tokens_N.tolist() == [10, 10, 5]
    assert np.array_equal(windows.mels_NMT[1], mels_MT[:, 80:160])
    assert np.array_equal(windows.mels_NMT[2, :, :40], mels_MT[:, 160:])
    assert (windows.mels_NMT[2, :, 40:] == mels_MT.min()).all()


def test_a_token_that_is_begun_counts() -> None:
    assert audio_windows(tone(440, 0.41), GRID).tokens_N.tolist() == [6]
