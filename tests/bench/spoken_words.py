"""`python -m tests.bench.spoken_words`: how fast speech is made, and how well words are told apart.

A ridge regression on log-mel patches learns each word of the lexicon in the training voices and is
asked for it in held-out ones. `to` and `two` sound alike, so one of them is left out.
Legend: T frames, M mel bands, D features, W words, R recordings.
"""

import json
import time
from functools import cache

import numpy as np

from services.common.world.speech.lexicon import LEXICON
from services.common.world.speech.synthesizer import SAMPLE_RATE_HZ, speak
from services.common.world.speech.voices import voices_of

QUESTION = "is the red circle left of the blue square?"
WORDS = sorted(set(LEXICON) - {"to"})
WINDOW, HOP, FFT, MELS, PATCH_FRAMES = 400, 160, 512, 40, 16
RIDGE = 100.0


def main() -> None:
    """Prints the figures as JSON."""
    figures = {"words": len(WORDS), **speed(), **accuracy()}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def speed() -> dict[str, float]:
    """CPU time of questions, and scaled to ones of two seconds."""
    start_s = time.process_time()
    lengths = [len(speak(QUESTION, v, np.random.default_rng(0))) for v in voices_of("train")]
    question_ms = (time.process_time() - start_s) / len(lengths) * 1000
    seconds = float(np.mean(lengths)) / SAMPLE_RATE_HZ
    return {"question_s": seconds, "ms": question_ms, "ms_per_2_s": question_ms * 2 / seconds}


def accuracy() -> dict[str, float]:
    """The share of words in unseen voices that are told."""
    features_RD, labels_R = recordings("train")
    unseen_RD, unseen_R = recordings("heldout")
    mean_D, deviation_D = features_RD.mean(axis=0), features_RD.std(axis=0) + 1e-6
    features_RD, unseen_RD = (
        np.pad((values - mean_D) / deviation_D, ((0, 0), (0, 1)), constant_values=1.0)
        for values in (features_RD, unseen_RD)
    )
    targets_RW = np.eye(len(WORDS))[labels_R]
    gram_DD = features_RD.T @ features_RD + RIDGE * np.eye(features_RD.shape[1])
    weights_DW = np.linalg.solve(gram_DD, features_RD.T @ targets_RW)
    is_right_R = (unseen_RD @ weights_DW).argmax(axis=1) == unseen_R
    distances = (features_RD**2).sum(axis=1) - 2 * unseen_RD @ features_RD.T
    is_nearest_right_R = labels_R[distances.argmin(axis=1)] == unseen_R
    return {"ridge": is_right_R.mean(), "nearest_neighbor": is_nearest_right_R.mean()}


def recordings(split):
    """(features [R, D], word indices [R]) of each word in each voice of the split."""
    rows = [
        (patch(speak(word, voice, np.random.default_rng([v, w]))), w)
        for v, voice in enumerate(voices_of(split))
        for w, word in enumerate(WORDS)
    ]
    return np.stack([features for features, _ in rows]), np.array([index for _, index in rows])


def patch(samples):
    """The loud part's log-mel spectrogram, stretched to so many frames, and how long it was."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
    spectrum_TM = np.log(np.abs(np.fft.rfft(frames, FFT)) ** 2 @ mel_bands() + 1e-6)
    level_T = spectrum_TM.mean(axis=1)
    loud = np.flatnonzero(level_T > level_T.min() + 0.35 * np.ptp(level_T))
    at = np.linspace(loud[0], loud[-1], PATCH_FRAMES)
    stretched = np.stack([np.interp(at, np.arange(len(level_T)), band) for band in spectrum_TM.T])
    return np.append((stretched - stretched.mean()).ravel(), np.ptp(loud) / 20)


@cache
def mel_bands():
    """Triangles [frequencies, M], evenly spaced in mel."""
    mels = 2595 * np.log10(1 + np.linspace(0, SAMPLE_RATE_HZ / 2, FFT // 2 + 1) / 700)
    centers = np.linspace(0, mels[-1], MELS + 2)
    distance = np.abs(mels[:, None] - centers[1:-1])
    return np.maximum(0, 1 - distance / (centers[1] - centers[0]))


if __name__ == "__main__":
    main()
