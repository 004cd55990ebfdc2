"""Aliases under fencing epochs, in the store and beside it, and the catalogue of scorers."""

from pathlib import Path

import pytest

from services.common.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from services.common.version_store import VersionStore
from services.reward.aliases import KIND, AliasBook
from services.reward.catalog import (
    BlendTermRecord,
    Catalog,
    VersionRecord,
    blend_record,
    user_record,
)


@pytest.fixture
def store(tmp_path) -> VersionStore:
    return VersionStore(tmp_path / "versions")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "reward" / "aliases.json"


def put_version(store: VersionStore, tmp_path: Path, content: str = "1") -> str:
    folder = tmp_path / f"content-{content}"
    folder.mkdir()
    (folder / "weights").write_text(content)
    return store.put(KIND, folder, "fingerprint").version


def where(book: AliasBook, alias: str) -> tuple[str, int] | None:
    entry = book.get(alias)
    return None if entry is None else (entry.name, entry.epoch)


def test_aliases_of_both_kinds_outlive_a_restart(store, path, tmp_path) -> None:
    version = put_version(store, tmp_path)
    book = AliasBook(store, path)
    book.move("stable", version, 1, in_store=True)
    book.move("checks", "program/world", 2, in_store=False)
    again = AliasBook(store, path)
    assert [(e.alias, e.name, e.epoch) for e in again.entries()] == [
        ("checks", "program/world", 2),
        ("stable", version, 1),
    ]
    assert again.aliases_of(version) == ["stable"]


def test_an_older_epoch_is_fenced_off(store, path) -> None:
    book = AliasBook(store, path)
    book.move("a", "program/world", 5, in_store=False)
    with pytest.raises(FailedPrecondition, match=r"epoch 4 .* fenced off by 5"):
        book.move("a", "program/exact", 4, in_store=False)
    book.move("a", "program/exact", 5, in_store=False)
    assert where(AliasBook(store, path), "a") == ("program/exact", 5)


def test_a_lease_in_the_store_fences_program_aliases_too(store, path) -> None:
    epoch = store.acquire_lease(KIND, "a", "publisher", ttl_s=60)
    book = AliasBook(store, path)
    with pytest.raises(FailedPrecondition):
        book.move("a", "program/world", epoch - 1, in_store=False)
    book.move("a", "program/world", epoch, in_store=False)


def test_an_alias_moves_between_programs_and_versions(store, path, tmp_path) -> None:
    version = put_version(store, tmp_path)
    book = AliasBook(store, path)
    for name, epoch, in_store in ((version, 1, True), ("program/world", 2, False)):
        book.move("a", name, epoch, in_store=in_store)
        assert where(AliasBook(store, path), "a") == (name, epoch)
    with pytest.raises(FailedPrecondition):
        book.move("a", version, 1, in_store=True)
    book.move("a", version, 3, in_store=True)
    assert where(AliasBook(store, path), "a") == (version, 3)


def test_another_process_that_moved_the_alias_in_the_store_is_believed(
    store, path, tmp_path
) -> None:
    version = put_version(store, tmp_path)
    AliasBook(store, path).move("a", "program/world", 2, in_store=False)
    store.set_alias(KIND, "a", version, 3)
    assert where(AliasBook(store, path), "a") == (version, 3)


def test_an_unknown_version_and_an_empty_alias_move_nothing(store, path) -> None:
    book = AliasBook(store, path)
    with pytest.raises(NotFound):
        book.move("a", "reward-0000", 1, in_store=True)
    with pytest.raises(InvalidArgument):
        book.move("", "program/world", 1, in_store=False)
    assert book.entries() == []


def test_a_catalogue_outlives_a_restart_with_blends_after_their_terms(tmp_path) -> None:
    path = tmp_path / "scorers.json"
    user = user_record(Path("/tasks/mine.py"), "score", 2.0, "def score(item): ...")
    blend = blend_record((BlendTermRecord(name=user.name, weight=0.5),))
    catalog = Catalog(path)
    version = VersionRecord(name="reward-0")
    for record in (blend, user, version):
        catalog.put(record)
    assert Catalog(path).records() == [version, user, blend]
    catalog.remove(user.name)
    catalog.remove("unknown")
    assert Catalog(path).records() == [version, blend]


def test_names_follow_from_all_that_decides_a_score() -> None:
    base = user_record(Path("/a/mine.py"), "score", 2.0, "1")
    assert base.name.startswith("user/mine.score@")
    others = [
        user_record(Path("/b/mine.py"), "score", 2.0, "1"),
        user_record(Path("/a/mine.py"), "other", 2.0, "1"),
        user_record(Path("/a/mine.py"), "score", 3.0, "1"),
        user_record(Path("/a/mine.py"), "score", 2.0, "2"),
    ]
    assert len({base.name, *(other.name for other in others)}) == 5
    terms = (BlendTermRecord(name="a", weight=1.0), BlendTermRecord(name="b", weight=2.0))
    assert blend_record(terms).name != blend_record(terms[:1]).name


@pytest.mark.parametrize(
    "opened", [lambda path, store: Catalog(path), lambda p, s: AliasBook(s, p)]
)
def test_a_damaged_file_is_named(tmp_path, store, opened) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"users": 1, "aliases": 1')
    with pytest.raises(DataLoss, match=r"state\.json"):
        opened(path, store)
