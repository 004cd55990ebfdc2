"""Recordings: every format round-trips, and every file that should be refused is, with a reason."""

import struct

import numpy as np
import pytest

from models.preprocessing.audio import AudioLimits, decode_audio, encode_wav
from models.preprocessing.media_error import MediaError
from tests.support.pictures import png
from tests.support.recordings import ENCODINGS, SAMPLE_RATE, encoded, sine, wav_with


def loudest_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize("kind", ENCODINGS)
def test_every_format_keeps_length_pitch_and_loudness(kind):
    samples = decode_audio(encoded(sine(), kind), SAMPLE_RATE)
    assert samples.dtype == np.float32
    assert samples.shape == (SAMPLE_RATE,)
    assert loudest_hertz(samples) == 440
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_lossless_formats_are_exact(kind):
    expected = np.round(sine() * 32768) / 32768
    np.testing.assert_allclose(
        decode_audio(encoded(sine(), kind), SAMPLE_RATE), expected, atol=1 / 32768
    )


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [("WAV", "FLOAT"), ("WAV", "PCM_24"), ("WAV", "ULAW"), ("FLAC", "PCM_24"), ("OGG", "OPUS")],
)
def test_other_encodings_are_read_too(kind, encoding):
    samples = decode_audio(encoded(sine(), kind, encoding=encoding), SAMPLE_RATE)
    assert loudest_hertz(samples) == 440


@pytest.mark.parametrize("rate", [4_000, 8_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_length_and_pitch(rate):
    samples = decode_audio(encoded(sine(rate=rate), rate=rate), SAMPLE_RATE)
    assert len(samples) == SAMPLE_RATE
    assert loudest_hertz(samples) == 440
    middle = samples[2000:-2000]
    np.testing.assert_allclose(middle, sine()[2000:-2000], atol=1e-3)


def test_channels_are_averaged():
    left, right = sine(), np.full(SAMPLE_RATE, 0.25, np.float32)
    both = encoded(np.stack([left, right], axis=1), encoding="FLOAT")
    np.testing.assert_allclose(decode_audio(both, SAMPLE_RATE), (left + right) / 2, atol=1e-6)


def test_a_recording_of_several_blocks_is_whole():
    samples = sine(seconds=10)
    np.testing.assert_array_equal(
        decode_audio(encoded(samples, encoding="FLOAT"), SAMPLE_RATE), samples
    )


def test_what_is_too_loud_is_clipped():
    samples = decode_audio(encoded(sine() * 4, encoding="FLOAT"), SAMPLE_RATE)
    assert (samples.min(), samples.max()) == (-1, 1)


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_the_largest_floats_stay_in_range(rate):
    loud = np.array([[3e38, -3e38], [3e38, 3e38]] * 500, np.float32)
    samples = decode_audio(encoded(loud, rate=rate, encoding="FLOAT"), SAMPLE_RATE)
    assert (np.abs(samples) <= 1).all()


def test_written_wav_is_read_back_and_clipped():
    samples = np.array([0, 0.5, -0.5, 2, -2], np.float32)
    read = decode_audio(encode_wav(samples, SAMPLE_RATE), SAMPLE_RATE)
    np.testing.assert_allclose(read, [0, 0.5, -0.5, 1, -1], atol=1e-4)


@pytest.mark.parametrize(
    ("data_size", "riff_size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFFFDB, 0x7FFFFFFF),  # sox
        (0, 0),
        (0, 36),  # a header written first and never corrected
    ],
)
def test_a_wav_from_a_pipe_is_decoded_to_its_end(data_size, riff_size):
    samples = decode_audio(wav_with(data_size, riff_size), SAMPLE_RATE)
    np.testing.assert_allclose(samples, sine(), atol=1e-4)


def test_a_flac_from_a_pipe_is_decoded_to_its_end():
    flac = bytearray(encoded(sine(), "FLAC"))
    flac[21] &= 0xF0  # 36 bits: the number of samples is not known
    flac[22:26] = bytes(4)
    assert len(decode_audio(bytes(flac), SAMPLE_RATE)) == SAMPLE_RATE


def test_samples_after_those_of_the_header_are_left_out():
    assert len(decode_audio(wav_with(data_size=2000), SAMPLE_RATE)) == 1000


def test_chunks_before_the_samples_are_skipped():
    wav = encode_wav(sine(), SAMPLE_RATE)
    odd = wav[:36] + b"LIST" + struct.pack("<I", 5) + b"data\0\0" + wav[36:]
    assert len(decode_audio(odd, SAMPLE_RATE)) == SAMPLE_RATE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected one of WAV, FLAC, MP3, OGG"),
        (png(), "expected one of WAV, FLAC, MP3, OGG"),
        (b"FORM\0\0\0\x20AIFFCOMM" + bytes(40), "expected one of"),
        (encode_wav(sine(), SAMPLE_RATE)[:-1000], "32000 bytes of samples and 31000 are there"),
        (encode_wav(sine(), SAMPLE_RATE)[:30], "without samples"),
        (wav_with(data_size=1 << 20), "promises 1048576 bytes"),
        (encoded(sine(), "FLAC")[:-1000], "truncated or damaged"),
        (encoded(sine(), "OGG")[:1000], "truncated or damaged"),
        (encoded(sine(), "MP3")[:100], "truncated or damaged"),
        (wav_with(rate=1), "sample rate of 1; allowed are 4000 … 192000"),
        (wav_with(rate=1_000_000), "sample rate of 1000000; allowed are 4000"),
        (wav_with(channels=96), "96 channels; at most 8"),
        (wav_with(channels=0), "truncated or damaged"),
        (encode_wav(sine(0), SAMPLE_RATE), "no samples"),
        (encode_wav(sine()[:1], 44_100), "shorter than one sample"),
        (encoded(np.array([0, np.nan] * 9, np.float32), encoding="FLOAT"), "not numbers"),
        (encoded(np.array([0, np.inf] * 9, np.float32), encoding="FLOAT"), "not numbers"),
        (encoded(sine(60.1)), "60.1 s or more; at most 60 s"),
        (encoded(sine(61), "FLAC"), "61.0 s or more; at most 60 s"),
        (encoded(sine(), encoding="MS_ADPCM"), "WAV MS_ADPCM are not read"),
        (b"RIFF" + bytes(4) + b"WAVE", "without samples"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(data, reason):
    with pytest.raises(MediaError, match=reason):
        decode_audio(data, SAMPLE_RATE)


@pytest.mark.parametrize("magic", [b"RIFF....WAVE", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"])
def test_noise_behind_every_magic_number_is_refused(magic):
    for seed in range(20):
        noise = np.random.default_rng(seed).bytes(5_000)
        with pytest.raises(MediaError):
            decode_audio(magic + noise, SAMPLE_RATE)


def test_bytes_are_counted_first():
    with pytest.raises(MediaError, match="32044 bytes; at most 100 are allowed"):
        decode_audio(encode_wav(sine(), SAMPLE_RATE), SAMPLE_RATE, AudioLimits(max_bytes=100))


def test_seconds_are_counted_where_the_header_does_not_say():
    flac = bytearray(encoded(sine(20), "FLAC"))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    with pytest.raises(MediaError, match="at most 2 s are allowed"):
        decode_audio(bytes(flac), SAMPLE_RATE, AudioLimits(max_seconds=2))
