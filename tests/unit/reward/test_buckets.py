"""Length buckets: few shapes, little padding."""

import pytest

from services.reward.scorers.onnx import bucket_lengths


@pytest.mark.parametrize("max_length", [1, 16, 100, 1024, 4096])
def test_buckets_end_at_the_longest_and_pad_little(max_length: int) -> None:
    buckets = bucket_lengths(max_length)
    assert buckets[-1] == max_length
    assert list(buckets) == sorted(set(buckets))
    assert len(buckets) <= 40
    padded = {n: next(b for b in buckets if b >= n) for n in range(1, max_length + 1)}
    assert all(padded[n] - n < max(16, 0.2 * padded[n]) for n in padded)
