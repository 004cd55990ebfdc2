"""Pages of the KV cache: who uses each, and which hold a prefix that another prompt can share.

Prefixes form a tree: a node is a page under the page before it, found by the exact content of its
tokens, so no hash can collide. A root stands for a version and a tenant; nothing is shared beyond.
Pages enter the tree when they are allocated, so prompts that arrive together share them too; who
claimed a page computes it. Freed pages stay findable until they are needed, oldest leaf first.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PAGE_TOKENS = 16

# What a page holds: its ids, and of each medium in it (offset, content hash, first feature).
Content = tuple[bytes, tuple[tuple[int, str, int], ...]]
# Version digest and tenant.
RootKey = tuple[str, str]


def num_pages_of(num_tokens: int) -> int:
    """Pages that so many tokens fill."""
    return -(-num_tokens // PAGE_TOKENS)


class OutOfPagesError(Exception):
    """All pages are in use."""


@dataclass(slots=True, eq=False)
class Page:
    """One page; `number` is its place in the cache's memory."""

    number: int
    num_users: int = 0
    is_computed: bool = False
    claimant: object | None = None  # who computes it
    parent: "Page | RootKey | None" = None  # None: private, nobody can find it
    content: Content | None = None
    children: dict[Content, "Page"] = field(default_factory=dict)

    @property
    def is_shareable(self) -> bool:
        return self.parent is not None


class PagePool:
    """Hands out pages and takes them back. Not thread-safe: the engine's thread owns it.

    A page that was never used takes no memory, so beyond `max_idle` findable pages the oldest is
    used again before a new one is.
    """

    def __init__(self, num_pages: int, max_idle: int | None = None) -> None:
        self.num_pages = num_pages
        self._max_idle = num_pages if max_idle is None else max_idle
        self._blank: list[Page] = []
        self._num_made = 0  # the others were never used
        self._idle: OrderedDict[int, Page] = OrderedDict()  # findable, not in use, oldest first
        self._used: dict[int, Page] = {}
        self._roots: dict[RootKey, dict[Content, Page]] = {}

    @property
    def num_free(self) -> int:
        """Pages that can be had, those with a findable prefix included."""
        return self.num_pages - len(self._used)

    @property
    def num_used(self) -> int:
        return len(self._used)

    def find(self, root: RootKey, contents: Sequence[Content]) -> list[Page]:
        """The longest chain of pages that hold these contents, from the start."""
        found: list[Page] = []
        children = self._roots.get(root, {})
        for content in contents:
            page = children.get(content)
            if page is None:
                break
            found.append(page)
            children = page.children
        return found

    def hold(self, page: Page) -> None:
        """One more user of a page that was found or is in use."""
        page.num_users += 1
        if self._idle.pop(page.number, None) is not None:
            self._used[page.number] = page

    def take(self) -> Page:
        """A private page, held once. Raises OutOfPagesError."""
        if not self._blank:
            self._make_or_evict()
        page = self._blank.pop()
        page.num_users = 1
        self._used[page.number] = page
        return page

    def publish(self, page: Page, parent: Page | RootKey, content: Content) -> bool:
        """Lets others find a private page; false where its place in the tree is taken."""
        siblings = self._children(parent)
        if siblings is None or content in siblings:
            return False
        siblings[content] = page
        page.parent, page.content = parent, content
        return True

    def release(self, pages: Sequence[Page]) -> None:
        """One user less of each page of a sequence, given from its start."""
        for page in reversed(pages):  # so that a leaf is older than what it hangs from
            page.num_users -= 1
            if page.num_users:
                continue
            del self._used[page.number]
            if page.is_shareable and page.is_computed:
                self._idle[page.number] = page
            else:
                self._blank_out(page)

    def forget(self, version: str) -> None:
        """Drops what is findable of a version and not in use."""
        for root in [root for root in self._roots if root[0] == version]:
            for page in list(self._below(self._roots[root])):
                if page.num_users == 0:
                    del self._idle[page.number]
                    self._blank_out(page)
                else:
                    self._unlink(page)
            self._roots.pop(root, None)

    def check(self) -> None:
        """AssertionError where the books do not balance; called when the engine is idle."""
        numbers = [p.number for p in self._blank] + list(self._idle) + list(self._used)
        assert sorted(numbers) == list(range(self._num_made)), "a page is lost or owned twice"
        for page in self._blank:
            assert page.num_users == 0, "a blank page has users"
            assert not page.is_shareable, "a blank page can be found"
            assert not page.children, "a blank page has children"
        for page in self._idle.values():
            assert page.num_users == 0, "an idle page has users"
            assert page.is_shareable, "an idle page cannot be found"
            assert page.is_computed, "an idle page holds nothing"
        for page in self._used.values():
            assert page.num_users > 0
            if isinstance(page.parent, Page):
                assert page.parent.num_users >= 1, "a page is used without the one before it"
        for root in self._roots.values():
            for page in self._below(root):
                assert self._siblings(page)[_content(page)] is page, "the tree is torn"

    def _children(self, parent: Page | RootKey) -> dict[Content, Page] | None:
        if not isinstance(parent, Page):
            return self._roots.setdefault(parent, {})
        return parent.children if parent.is_shareable else None

    def _siblings(self, page: Page) -> dict[Content, Page]:
        assert page.parent is not None
        siblings = self._children(page.parent)
        assert siblings is not None
        return siblings

    def _make_or_evict(self) -> None:
        if self._num_made < self.num_pages and len(self._idle) <= self._max_idle:
            self._blank.append(Page(self._num_made))
            self._num_made += 1
            return
        if not self._idle:
            raise OutOfPagesError(f"all {self.num_pages} pages of the cache are in use")
        _, page = self._idle.popitem(last=False)
        self._blank_out(page)

    def _blank_out(self, page: Page) -> None:
        self._unlink(page)
        page.num_users, page.is_computed, page.claimant = 0, False, None
        self._blank.append(page)

    def _unlink(self, page: Page) -> None:
        """Takes a page, and so all below it, out of the tree."""
        if page.parent is None:
            return
        siblings = self._siblings(page)
        del siblings[_content(page)]
        if not isinstance(page.parent, Page) and not siblings:
            del self._roots[page.parent]
        page.parent, page.content = None, None
        for child in list(page.children.values()):
            self._unlink(child)

    def _below(self, children: dict[Content, Page]) -> Iterator[Page]:
        for page in list(children.values()):
            yield from self._below(page.children)
            yield page


def _content(page: Page) -> Content:
    assert page.content is not None
    return page.content
