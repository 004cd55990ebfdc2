"""Text of one sample as it grows: whole characters only, and stop strings across token borders."""

from models.preprocessing.tokenizer import Detokenizer, Tokenizer


class TextStream:
    """Releases text that can no longer be part of a stop string; `is_stopped` once one came."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._stop = stop
        self._held = ""
        self.is_stopped = False

    def add(self, token_id: int) -> str:
        """The text that this token releases; ends before a stop string."""
        self._held += self._detokenizer.add(token_id)
        end = stop_position(self._held, self._stop)
        if end is not None:
            self.is_stopped = True
            released, self._held = self._held[:end], ""
            return released
        keep = _overlap(self._held, self._stop)
        released, self._held = self._held[: len(self._held) - keep], self._held[-keep:]
        if not keep:
            self._held = ""
        return released

    def finish(self) -> str:
        """What was held back, when nothing more comes."""
        if self.is_stopped:
            return ""
        released, self._held = self._held + self._detokenizer.finish(), ""
        return released


def stop_position(text: str, stop: tuple[str, ...]) -> int | None:
    """Where the first stop string begins, if one is there."""
    found = [at for at in (text.find(s) for s in stop) if at >= 0]
    return min(found, default=None)


def _overlap(text: str, stop: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that begins a stop string."""
    longest = max(map(len, stop), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(s.startswith(text[-size:]) for s in stop):
            return size
    return 0
