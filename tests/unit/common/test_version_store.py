"""The version store: immutable versions, aliases under fencing epochs, names that stay inside."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from services.common.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from services.common.version_store import VersionStore, copy_files, describe, verify

OUTSIDE = ["", ".", "..", "../reward", "/etc", "a/b", ".hidden", "a\0b"]


@pytest.fixture
def store(tmp_path) -> VersionStore:
    return VersionStore(tmp_path / "store")


@pytest.fixture
def weights(tmp_path):
    """Makes a folder with one weight file of the given content."""

    def make(content: bytes):
        folder = tmp_path / f"weights-{hash(content)}"
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes(content)
        return folder

    return make


@pytest.fixture
def version(store, weights) -> str:
    return store.put("policy", weights(b"abc"), "f1").version


def test_a_version_is_found_again_whole(store, weights):
    manifest = store.put("policy", weights(b"abc"), "f1", {"step": "3"})
    assert manifest.version.startswith("policy-")
    assert VersionStore(store.root).manifest("policy", manifest.version) == manifest
    folder = store.folder("policy", manifest.version)
    verify(folder, manifest)
    assert (folder / "model.safetensors").read_bytes() == b"abc"


def test_the_same_content_is_the_same_version_and_any_other_is_another(store, weights):
    names = {
        store.put("policy", folder, fingerprint, metadata).version
        for folder, fingerprint, metadata in [
            (weights(b"abc"), "f1", {}),
            (weights(b"abc"), "f1", {}),
            (weights(b"abd"), "f1", {}),
            (weights(b"abc"), "f2", {}),
            (weights(b"abc"), "f1", {"step": "1"}),
        ]
    }
    assert len(names) == 4
    assert set(store.versions("policy")) == names


def test_concurrent_puts_of_one_content_make_one_version(store, weights):
    folder = weights(b"abc" * 100_000)
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: store.put("policy", folder, "f1").version, range(16)))
    assert store.versions("policy") == list(made)
    assert len(list((store.root / "policy" / "versions").iterdir())) == 1


def test_a_put_that_fails_leaves_nothing_behind(store, weights):
    folder = weights(b"abc")
    (store.root / "policy").mkdir(parents=True)
    (store.root / "policy" / "versions").write_text("in the way")
    with pytest.raises(OSError, match="versions"):
        store.put("policy", folder, "f1")
    assert store.versions("policy") == []


def test_what_comes_in_is_a_version_once_all_went_well(store, weights):
    folder = weights(b"abc")
    manifest = describe("policy", folder, "f1", {})
    with suppress(DataLoss), store.incoming("policy", manifest) as incoming:
        copy_files(folder, incoming, manifest)
        raise DataLoss("not what the manifest says")
    assert store.versions("policy") == []
    with store.incoming("policy", manifest) as incoming:
        copy_files(folder, incoming, manifest)
        assert store.versions("policy") == []
    assert store.versions("policy") == [manifest.version]
    verify(store.folder("policy", manifest.version), manifest)
    assert len(list((store.root / "policy" / "versions").iterdir())) == 1


def test_what_comes_in_under_a_name_of_its_own_is_refused(store, weights):
    manifest = describe("policy", weights(b"abc"), "f1", {})
    stranger = manifest.model_copy(update={"version": "../../evil"})
    with pytest.raises(DataLoss, match="calls itself"), store.incoming("policy", stranger):
        pass
    assert not (store.root / "policy").exists()


def test_versions_are_listed_oldest_first(store, weights):
    made = [store.put("policy", weights(bytes([i])), "f1").version for i in range(4)]
    for age, version in enumerate(made):
        os.utime(store.folder("policy", version) / "manifest.json", ns=(age, age))
    assert store.versions("policy") == made
    assert store.versions("reward") == []


@pytest.mark.parametrize("damage", [b"abX", b"ab", b""])
def test_a_damaged_file_is_detected(store, version, damage):
    folder, manifest = store.folder("policy", version), store.manifest("policy", version)
    (folder / "model.safetensors").write_bytes(damage)
    with pytest.raises(DataLoss, match=r"model\.safetensors"):
        verify(folder, manifest)


def test_a_manifest_that_was_changed_is_detected(store, version):
    folder, manifest = store.folder("policy", version), store.manifest("policy", version)
    with pytest.raises(DataLoss, match="calls itself"):
        verify(folder, manifest.model_copy(update={"metadata": {"step": "9"}}))
    (folder / "manifest.json").write_text("{")
    with pytest.raises(DataLoss, match="is not a manifest"):
        store.manifest("policy", version)


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_store(store, version, weights, name):
    with pytest.raises(NotFound):
        store.folder("policy", name)
    with pytest.raises(NotFound):
        store.remove("policy", name)
    with pytest.raises(InvalidArgument, match="plain name"):
        store.put(name, weights(b"abc"), "f1")
    with pytest.raises(InvalidArgument, match="plain name"):
        store.aliases(name)
    assert store.versions("policy") == [version]


def test_an_unknown_version_is_named_beside_the_known_ones(store, version):
    with pytest.raises(NotFound, match=f"'policy-0'.*{version}"):
        store.folder("policy", "policy-0")


@pytest.mark.parametrize("alias", ["stable", "run/7f3a", "run/v1.5", "..", "a b%2F", "候选"])
def test_any_text_can_be_an_alias(store, version, alias):
    epoch = store.acquire_lease("policy", alias, "me", ttl_s=60)
    record = store.set_alias("policy", alias, version, epoch)
    assert store.aliases("policy") == [record]
    assert store.resolve("policy", alias) == version
    assert not list(store.root.parent.glob("*.json"))


@pytest.mark.parametrize("alias", ["", "x" * 201, "候" * 30])
def test_an_alias_that_no_file_can_be_named_by_is_refused(store, alias):
    with pytest.raises(InvalidArgument, match="bytes when quoted"):
        store.acquire_lease("policy", alias, "me", ttl_s=60)


def test_an_alias_that_was_never_set_resolves_to_nothing(store, version):
    store.acquire_lease("policy", "stable", "me", ttl_s=60)
    with pytest.raises(NotFound, match="there are: none"):
        store.resolve("policy", "stable")
    assert store.aliases("policy") == []


def test_a_lease_keeps_others_out_until_it_expires(store, version):
    first = store.acquire_lease("policy", "stable", "me", ttl_s=60)
    with pytest.raises(FailedPrecondition, match="leased to me"):
        store.acquire_lease("policy", "stable", "you", ttl_s=60)
    assert store.acquire_lease("policy", "other", "you", ttl_s=60) == 1
    assert store.acquire_lease("policy", "stable", "me", ttl_s=-1) == first + 1
    assert store.acquire_lease("policy", "stable", "you", ttl_s=60) == first + 2


def test_a_lease_that_is_given_back_lets_others_in(store, version):
    mine = store.acquire_lease("policy", "stable", "me", ttl_s=60)
    store.release_lease("policy", "stable", "you")
    with pytest.raises(FailedPrecondition, match="leased to me"):
        store.acquire_lease("policy", "stable", "you", ttl_s=60)
    store.release_lease("policy", "stable", "me")
    yours = store.acquire_lease("policy", "stable", "you", ttl_s=60)
    assert yours == mine + 1
    with pytest.raises(FailedPrecondition, match="fenced off"):
        store.set_alias("policy", "stable", version, mine)


def test_a_publisher_that_lost_its_lease_is_fenced_off(store, weights):
    old, new = (store.put("policy", weights(c), "f1").version for c in (b"old", b"new"))
    mine = store.acquire_lease("policy", "stable", "me", ttl_s=-1)
    yours = store.acquire_lease("policy", "stable", "you", ttl_s=60)
    with pytest.raises(FailedPrecondition, match=f"epoch {mine} .* fenced off by {yours}"):
        store.set_alias("policy", "stable", old, mine)
    assert store.set_alias("policy", "stable", new, yours).epoch == yours
    with pytest.raises(FailedPrecondition):
        store.set_alias("policy", "stable", old, mine)
    assert store.resolve("policy", "stable") == new


def test_concurrent_leases_hand_out_distinct_epochs(store):
    def acquire(_: int) -> int:
        return store.acquire_lease("policy", "stable", "me", ttl_s=60)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(acquire, range(32))) == list(range(1, 33))


def test_an_alias_cannot_name_a_version_that_is_not_there(store):
    epoch = store.acquire_lease("policy", "stable", "me", ttl_s=60)
    with pytest.raises(NotFound):
        store.set_alias("policy", "stable", "policy-0", epoch)


def test_a_version_is_removed_only_when_no_alias_names_it(store, weights, version):
    epoch = store.acquire_lease("policy", "stable", "me", ttl_s=60)
    store.set_alias("policy", "stable", version, epoch)
    with pytest.raises(FailedPrecondition, match="named by stable"):
        store.remove("policy", version)
    other = store.put("policy", weights(b"other"), "f1").version
    store.set_alias("policy", "stable", other, epoch)
    store.remove("policy", version)
    assert store.versions("policy") == [other]
    with pytest.raises(NotFound):
        store.manifest("policy", version)
