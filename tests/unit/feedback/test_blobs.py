"""Blobs: whole, durable, named by their content."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.errors import DataLoss, InvalidArgument
from services.feedback.blobs import BlobStore


@pytest.fixture
def written() -> list[int]:
    return []


@pytest.fixture
def blobs(tmp_path, written) -> BlobStore:
    return BlobStore(tmp_path / "blobs", written.append)


def files(blobs: BlobStore, tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "blobs").rglob("*") if p.is_file())


def test_a_blob_is_found_by_its_hash(blobs, tmp_path, written):
    sha256 = blobs.put(b"bytes")
    assert sha256 == hashlib.sha256(b"bytes").hexdigest()
    assert blobs.read(sha256) == b"bytes"
    assert blobs.size_bytes(sha256) == 5
    assert blobs.path(sha256) == tmp_path / "blobs" / sha256[:2] / sha256
    assert written == [5]


def test_the_same_bytes_are_kept_once(blobs, tmp_path, written):
    assert blobs.put(b"bytes") == blobs.put(b"bytes")
    assert len(files(blobs, tmp_path)) == len(written) == 1


def test_concurrent_puts_of_the_same_bytes_agree(blobs, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        hashes = set(pool.map(lambda i: blobs.put(bytes([i % 3]) * 100_000), range(48)))
    assert files(blobs, tmp_path) == sorted(hashes)
    assert len(hashes) == 3


def test_what_was_not_finished_is_not_there(blobs, tmp_path):
    writer = blobs.writer()
    writer.add(b"half")
    writer.discard()
    writer.discard()
    assert files(blobs, tmp_path) == []


def test_a_damaged_blob_is_data_loss(blobs):
    sha256 = blobs.put(b"bytes")
    blobs.path(sha256).write_bytes(b"bytez")
    with pytest.raises(DataLoss, match=sha256):
        blobs.read(sha256)


def test_a_blob_that_is_not_held_has_no_size(blobs):
    assert blobs.size_bytes("0" * 64) is None


@pytest.mark.parametrize(
    "name", ["", "..", "../" * 22, "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "/"]
)
def test_only_hashes_name_blobs(blobs, name):
    with pytest.raises(InvalidArgument):
        blobs.path(name)


def test_uploads_that_a_killed_process_left_are_removed_after_a_day(tmp_path):
    incoming = tmp_path / "blobs" / "incoming"
    incoming.mkdir(parents=True)
    for name, age_s in {"old": 2 * 24 * 3600, "young": 60}.items():
        (incoming / name).write_bytes(b"half")
        os.utime(incoming / name, (time.time() - age_s,) * 2)
    BlobStore(tmp_path / "blobs", lambda _: None)
    assert [p.name for p in incoming.iterdir()] == ["young"]
