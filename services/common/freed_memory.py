"""Gives memory that was freed back to the system: glibc keeps what its many arenas once held."""

import ctypes
from collections.abc import Callable
from functools import cache


def return_freed_memory() -> None:
    """After something large was let go. Does nothing where the C library is another one."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
