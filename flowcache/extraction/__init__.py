"""From videos to cache entries."""
