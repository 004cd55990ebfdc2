"""The pages of the KV cache: sharing, release, eviction, and books that always balance."""

from random import Random

import pytest

from services.policy.engine.pages import OutOfPagesError, Page, PagePool

ROOT = ("version", "tenant")


def content(*ids):
    return bytes(ids), ()


def chain(pool, *contents, root=ROOT):
    """Takes and publishes one page per content, computed."""
    pages, parent = [], root
    for each in contents:
        page = pool.take()
        assert pool.publish(page, parent, each)
        page.is_computed = True
        pages.append(page)
        parent = page
    return pages


def test_a_prefix_is_found_as_far_as_it_is_the_same():
    pool = PagePool(8)
    pages = chain(pool, content(1), content(2), content(3))
    assert pool.find(ROOT, [content(1), content(2), content(9)]) == pages[:2]
    assert pool.find(ROOT, [content(2)]) == []
    assert pool.find(("other version", "tenant"), [content(1)]) == []
    assert pool.find(("version", "other tenant"), [content(1)]) == []


def test_the_same_ids_with_another_medium_are_another_prefix():
    pool = PagePool(8)
    chain(pool, (b"ids", ((0, "sha of one", 0),)))
    assert pool.find(ROOT, [(b"ids", ((0, "sha of another", 0),))]) == []
    assert pool.find(ROOT, [(b"ids", ((0, "sha of one", 16),))]) == []


def test_a_released_prefix_is_found_again_until_its_pages_are_needed():
    pool = PagePool(3)
    pages = chain(pool, content(1), content(2))
    pool.release(pages)
    assert pool.num_free == 3
    assert pool.find(ROOT, [content(1), content(2)]) == pages
    taken = [pool.take(), pool.take()]
    assert pool.find(ROOT, [content(1), content(2)]) == pages[:1]  # the leaf goes first
    pool.take()
    assert pool.find(ROOT, [content(1)]) == []
    assert len({page.number for page in taken}) == 2
    with pytest.raises(OutOfPagesError, match="all 3 pages"):
        pool.take()


def test_what_was_used_last_is_kept_longest():
    pool = PagePool(3)
    for number in (1, 2, 3):
        pool.release(chain(pool, content(number)))
    [page] = pool.find(ROOT, [content(1)])
    pool.hold(page)
    pool.release([page])
    pool.take()
    pool.take()
    assert pool.find(ROOT, [content(1)]) == [page]


def test_old_prefixes_are_used_again_before_pages_that_were_never_used():
    pool = PagePool(100, max_idle=2)
    for number in range(20):
        pool.release(chain(pool, content(number)))
        pool.check()
    assert pool.find(ROOT, [content(0)]) == []
    assert len(pool.find(ROOT, [content(19)])) == 1
    assert pool.take().number < 3


def test_a_page_is_free_when_its_last_user_leaves():
    pool = PagePool(2)
    [page] = chain(pool, content(1))
    pool.hold(page)
    pool.release([page])
    assert pool.num_used == 1
    pool.release([page])
    assert pool.num_used == 0


def test_a_page_that_was_never_computed_is_not_found_again():
    pool = PagePool(2)
    page = pool.take()
    pool.publish(page, ROOT, content(1))
    assert pool.find(ROOT, [content(1)]) == [page]
    pool.release([page])
    assert pool.find(ROOT, [content(1)]) == []


def test_two_that_compute_the_same_keep_their_own_pages():
    pool = PagePool(4)
    chain(pool, content(1))
    other = pool.take()
    assert not pool.publish(other, ROOT, content(1))
    below = pool.take()
    assert not pool.publish(below, other, content(2))
    pool.release([other, below])
    assert pool.num_used == 1


def test_a_version_that_is_forgotten_is_never_found():
    pool = PagePool(4)
    idle = chain(pool, content(1), content(2))
    pool.release(idle)
    used = chain(pool, content(1), root=("other", "tenant"))
    pool.forget("version")
    assert pool.find(ROOT, [content(1)]) == []
    assert pool.find(("other", "tenant"), [content(1)]) == used
    pool.forget("other")
    assert pool.find(("other", "tenant"), [content(1)]) == []
    pool.release(used)
    assert pool.num_free == 4
    pool.check()


def test_the_books_balance_through_random_use():
    for seed in range(40):
        rng = Random(seed)
        pool = PagePool(rng.randint(4, 40))
        live: list[list[Page]] = []
        for _ in range(300):
            action = rng.random()
            if action < 0.5:
                live.append(begin(pool, rng))
            elif action < 0.95 and live:
                pool.release(live.pop(rng.randrange(len(live))))
            elif action > 0.98:
                pool.forget("v" + str(rng.randint(0, 1)))
            live = [pages for pages in live if pages]
            pool.check()
        for pages in live:
            pool.release(pages)
        assert pool.num_free == pool.num_pages
        pool.check()


def begin(pool, rng):
    """A sequence over a small alphabet: holds what it finds, takes the rest, as an engine does."""
    root = ("v" + str(rng.randint(0, 1)), "tenant")
    contents = [content(rng.randint(0, 2)) for _ in range(rng.randint(1, 6))]
    pages = pool.find(root, contents)
    pages = pages[: rng.randint(0, len(pages))]
    for page in pages:
        pool.hold(page)
    for each in contents[len(pages) :]:
        try:
            page = pool.take()
        except OutOfPagesError:
            pool.release(pages)
            return []
        pool.publish(page, pages[-1] if pages else root, each)
        page.is_computed = rng.random() < 0.9 and all(p.is_computed for p in pages)
        pages.append(page)
    return pages
