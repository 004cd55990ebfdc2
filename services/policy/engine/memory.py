"""The memory of the cache: one set of pages for all versions of one shape.

On CPU, what is not touched takes no memory yet, so the whole may be sized for the machine.
"""

from dataclasses import dataclass

from models.config import DecoderConfig
from services.policy.engine.executor import Cache, Weights
from services.policy.engine.pages import PAGE_TOKENS, PagePool


@dataclass(frozen=True, slots=True, eq=False)
class CacheMemory:
    """Pages, and the books of who uses them."""

    pool: PagePool
    cache: Cache


def num_pages_in(num_bytes: int, config: DecoderConfig, element_bytes: int = 4) -> int:
    """Pages that so much memory holds; one at least."""
    per_token = 2 * config.num_layers * config.num_kv_heads * config.head_size * element_bytes
    return max(1, num_bytes // (per_token * PAGE_TOKENS))


def cache_memory(
    weights: Weights, config: DecoderConfig, num_bytes: int, idle_bytes: int
) -> CacheMemory:
    """Keys and values within a budget, where the weights are; and a budget for prefixes that are
    only kept to be found again."""
    num_pages, max_idle = (
        num_pages_in(budget, config, weights.element_bytes) for budget in (num_bytes, idle_bytes)
    )
    return CacheMemory(PagePool(num_pages, max_idle), weights.new_cache(num_pages))
