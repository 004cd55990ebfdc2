"""A prompt on its way into the cache: which pages hold it, and how far it is computed.

Legend: L tokens of the prompt, N pages, T tokens of a chunk, F features, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import OmniConfig
from services.policy.engine.encoders import FeatureCache, Unit
from services.policy.engine.executor import Executor
from services.policy.engine.pages import (
    PAGE_TOKENS,
    Content,
    Page,
    PagePool,
    RootKey,
    num_pages_of,
)
from services.policy.engine.served_model import ServedModel


@dataclass(slots=True, eq=False)
class Track:
    """One prompt; `pages` are held by it from its start on."""

    ids_L: NDArray[np.int64]
    contents: list[Content]  # of its full pages
    units: list[Unit]
    feature_of_L: NDArray[np.int64]  # row of a placeholder's feature, -1 for words and codes
    features_FD: Tensor | None = None
    pages: list[Page] = field(default_factory=list)
    num_computed: int = 0
    last_hidden_D: Tensor | None = None  # of the last token, once it is computed

    @property
    def is_computed(self) -> bool:
        return self.last_hidden_D is not None

    @property
    def num_pages(self) -> int:
        """That it takes."""
        return num_pages_of(len(self.ids_L))

    @property
    def table_N(self) -> list[int]:
        return [page.number for page in self.pages]

    def find_pages(self, pool: PagePool, root: RootKey) -> None:
        """Holds what others have of it. Its last token is always its own to compute."""
        shared = self.contents[: (len(self.ids_L) - 1) // PAGE_TOKENS]
        self.pages = pool.find(root, shared)
        for page in self.pages:
            pool.hold(page)

    def take_pages(self, pool: PagePool, root: RootKey) -> None:
        """Takes the rest, and lets others find what it will compute."""
        for index in range(len(self.pages), self.num_pages):
            page = pool.take()
            page.claimant = self
            if index < len(self.contents):
                pool.publish(page, self.pages[-1] if index else root, self.contents[index])
            self.pages.append(page)

    def next_chunk(self, budget: int) -> range:
        """Positions to compute next; none where somebody else is about to compute them."""
        self._skip_computed()
        start = end = self.num_computed
        while end < len(self.ids_L) and end - start < budget:
            page = self.pages[end // PAGE_TOKENS]
            if page.claimant is None:
                page.claimant = self
            if page.is_computed or page.claimant is not self:
                break
            end = min((end // PAGE_TOKENS + 1) * PAGE_TOKENS, len(self.ids_L), start + budget)
        return range(start, end)

    def mark(self, chunk: range) -> list[Page]:
        """Counts a chunk as computed; returns the pages that are complete by it."""
        self.num_computed = chunk.stop
        first, last = chunk.start // PAGE_TOKENS, chunk.stop // PAGE_TOKENS
        complete = self.pages[first:last]
        for page in complete:
            page.is_computed = True
        return complete

    def encode(self, served: ServedModel, cache: FeatureCache) -> None:
        """Its media through their encoders, or from what is cached of them."""
        if self.units:
            self.features_FD = torch.cat([cache.features(served, unit) for unit in self.units])

    def embed(self, chunk: range, executor: Executor) -> Tensor:
        """hidden_TD of a chunk: words and codes looked up, and features of media."""
        where = slice(chunk.start, chunk.stop)
        hidden_TD = executor.embed(self.ids_L[where])
        rows_T = self.feature_of_L[where]
        is_media_T = rows_T >= 0
        if is_media_T.any():
            assert self.features_FD is not None
            features_TD = self.features_FD[torch.from_numpy(rows_T[is_media_T])]
            hidden_TD[torch.from_numpy(is_media_T)] = features_TD
        return hidden_TD

    def release(self, pool: PagePool) -> None:
        """Lets all pages go; what it had claimed is free to be claimed."""
        for page in self.pages:
            if page.claimant is self:
                page.claimant = None
        pool.release(self.pages)
        self.pages = []

    def _skip_computed(self) -> None:
        """Past full pages that others computed meanwhile."""
        last = (len(self.ids_L) - 1) // PAGE_TOKENS
        while self.num_computed % PAGE_TOKENS == 0:
            index = self.num_computed // PAGE_TOKENS
            if index >= last or not self.pages[index].is_computed:
                break
            self.num_computed += PAGE_TOKENS


def track_of(ids_L: NDArray[np.int64], units: Sequence[Unit], config: OmniConfig) -> Track:
    """A prompt none of which is computed; `units` are in the order of features."""
    feature_of_L = np.full(len(ids_L), -1)
    start = 0
    for token in config.placeholders:
        if token is None:
            continue
        places = np.flatnonzero(ids_L == token)
        feature_of_L[places] = np.arange(start, start + len(places))
        start += len(places)
    contents = _contents(ids_L, feature_of_L, units)
    return Track(ids_L, contents, list(units), feature_of_L)


def _contents(
    ids_L: NDArray[np.int64], feature_of_L: NDArray[np.int64], units: Sequence[Unit]
) -> list[Content]:
    """What each full page holds, exactly: its ids, and which part of which media."""
    ends = np.cumsum([unit.num_features for unit in units], dtype=np.int64)
    contents: list[Content] = []
    for start in range(0, len(ids_L) - PAGE_TOKENS + 1, PAGE_TOKENS):
        where = slice(start, start + PAGE_TOKENS)
        ids, rows = ids_L[where], feature_of_L[where]
        contents.append((ids.tobytes(), _media_in(rows, ends, units)))
    return contents


def _media_in(
    rows: NDArray[np.int64], ends: NDArray[np.int64], units: Sequence[Unit]
) -> tuple[tuple[int, str, int], ...]:
    """(offset, hash, first feature) for each unit that a page begins or goes on with."""
    found: list[tuple[int, str, int]] = []
    previous = None
    for offset in np.flatnonzero(rows >= 0).tolist():
        unit = int(np.searchsorted(ends, rows[offset], side="right"))
        if unit != previous:
            first = int(rows[offset] - (ends[unit] - units[unit].num_features))
            found.append((offset, units[unit].digest, first))
        previous = unit
    return tuple(found)
