"""Sequences on their way into a batch: the prompt that they begin from, and its blank twin.

Pages for all of them are taken together, so that what has begun can always be forked.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from services.policy.engine.pages import PAGE_TOKENS, Page, PagePool, RootKey
from services.policy.engine.sequence import Pending
from services.policy.engine.served_model import ServedModel
from services.policy.engine.track import Track, track_of


@dataclass(slots=True, eq=False)
class Prefill:
    """`tracks` are the prompt and, for guided samples, the same without content; `tails` are pages
    into which each further sample of a track gets its copy of the prompt's last, unfilled page."""

    pending: Pending
    tracks: list[Track]
    tails: list[list[Page]] = field(default_factory=list)

    @property
    def is_computed(self) -> bool:
        return all(track.is_computed for track in self.tracks)

    @property
    def last_states(self) -> list[Tensor]:
        """hidden_D of the last token of each track, once all are computed."""
        return [track.last_hidden_D for track in self.tracks if track.last_hidden_D is not None]

    @property
    def num_rows(self) -> int:
        return self.pending.num_rows

    def take_pages(self, pool: PagePool, root: RootKey, num_spare: int) -> bool:
        """All that it needs, if so many stay free; else nothing is taken."""
        for track in self.tracks:
            track.find_pages(pool, root)
        num_tails = len(self.pending.sequences) - 1
        missing = sum(track.num_pages - len(track.pages) for track in self.tracks)
        missing += sum(num_tails for track in self.tracks if _has_unfilled_page(track))
        if missing + num_spare > pool.num_free:
            self.release(pool)
            return False
        for track in self.tracks:
            track.take_pages(pool, root)
            count = num_tails if _has_unfilled_page(track) else 0
            self.tails.append([pool.take() for _ in range(count)])
        return True

    def chains(
        self, pool: PagePool, copy_page: Callable[[int, int], None]
    ) -> list[list[list[Page]]]:
        """For each sequence, the pages of each of its rows, held by it. Empties this."""
        chains: list[list[list[Page]]] = [[] for _ in self.pending.sequences]
        for track, tails in zip(self.tracks, self.tails, strict=True):
            chains[0].append(track.pages)
            for chain in chains[1:]:
                shared = track.pages[: -1 if tails else None]
                for page in shared:
                    pool.hold(page)
                copied = tails[: 1 if tails else 0]
                del tails[:1]
                for page in copied:
                    copy_page(track.pages[-1].number, page.number)
                chain.append([*shared, *copied])
        return chains

    def release(self, pool: PagePool) -> None:
        """Gives all pages back."""
        for track in self.tracks:
            track.release(pool)
        for tails in self.tails:
            pool.release(tails)
        self.tails = []


def prefill_of(pending: Pending, served: ServedModel) -> Prefill:
    """Nothing is taken or computed yet."""
    config = served.model.config
    tracks = [track_of(pending.token_ids_L, pending.units, config)]
    if pending.group.sampling.is_guided:
        blank_ids_L = pending.unconditional_ids_L(served.grammar)
        tracks.append(track_of(blank_ids_L, (), config))
    return Prefill(pending, tracks)


def _has_unfilled_page(track: Track) -> bool:
    return len(track.ids_L) % PAGE_TOKENS != 0
