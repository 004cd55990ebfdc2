"""What is kept of decoded media: by content, kind and settings, within a bound, failures never."""

import pytest

from models.preprocessing.conversation import Audio, Medium, Picture
from models.preprocessing.decoding import Decoded, MediaSettings, decode_medium
from models.preprocessing.media_error import MediaError
from services.common.decoding.cache import DecodedCache
from tests.support.recordings import encoded, sine

SETTINGS = MediaSettings()
SECOND = 16_000 * 4  # bytes of a decoded second


class Counting:
    """Decodes, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, medium: Medium, settings: MediaSettings) -> Decoded:
        self.calls += 1
        return decode_medium(medium, settings)


def recording(hertz: float) -> Audio:
    return Audio(encoded(sine(1.0, hertz)))


def test_equal_bytes_are_decoded_once() -> None:
    decode = Counting()
    cache = DecodedCache(decode, 10 * SECOND)
    first, again = cache(recording(300), SETTINGS), cache(recording(300), SETTINGS)
    assert first is again
    assert decode.calls == 1


def test_other_settings_and_other_kinds_are_other_media() -> None:
    decode = Counting()
    cache = DecodedCache(decode, 10 * SECOND)
    cache(recording(300), SETTINGS)
    slower = cache(recording(300), MediaSettings(sample_rate=8_000))
    assert len(slower.samples) == 8_000
    with pytest.raises(MediaError):
        cache(Picture(recording(300).data), SETTINGS)
    assert decode.calls == 3


def test_the_least_used_leave_when_the_bound_is_passed() -> None:
    decode = Counting()
    cache = DecodedCache(decode, 2 * SECOND)
    for hertz in (300, 400, 300, 500, 300):
        cache(recording(hertz), SETTINGS)
    assert decode.calls == 3
    assert cache.num_bytes == 2 * SECOND
    cache(recording(400), SETTINGS)
    assert decode.calls == 4


def test_what_is_larger_than_the_bound_is_not_kept() -> None:
    decode = Counting()
    cache = DecodedCache(decode, SECOND - 1)
    cache(recording(300), SETTINGS)
    cache(recording(300), SETTINGS)
    assert (decode.calls, cache.num_bytes) == (2, 0)


def test_failures_are_not_kept() -> None:
    decode = Counting()
    cache = DecodedCache(decode, SECOND)
    for _ in range(2):
        with pytest.raises(MediaError):
            cache(Audio(b"RIFF"), SETTINGS)
    assert decode.calls == 2
