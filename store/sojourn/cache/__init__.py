"""Sessions that were read stay in the process, and Redis tells which were changed: see the guide on caching."""

from sojourn.cache.settings import Cache, CacheInfo

__all__ = ["Cache", "CacheInfo"]
