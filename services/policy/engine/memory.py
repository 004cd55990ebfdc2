"""The memory of the cache: one set of pages for all versions of one shape.

What is not touched takes no memory yet, so the whole may be sized for the machine.
"""

from dataclasses import dataclass

from models.config import DecoderConfig
from services.policy.engine.native.decoder import PagedCache
from services.policy.engine.pages import PAGE_TOKENS, PagePool

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, eq=False)
class CacheMemory:
    """Pages, and the books of who uses them."""

    pool: PagePool
    cache: PagedCache


def num_pages_in(num_bytes: int, config: DecoderConfig) -> int:
    """Pages that so much memory holds; one at least."""
    per_token = 2 * config.num_layers * config.num_kv_heads * config.head_size * _FLOAT_BYTES
    return max(1, num_bytes // (per_token * PAGE_TOKENS))


def cache_memory(config: DecoderConfig, num_bytes: int) -> CacheMemory:
    """Float32 keys and values within a budget."""
    num_pages = num_pages_in(num_bytes, config)
    return CacheMemory(PagePool(num_pages), PagedCache(config, num_pages))
