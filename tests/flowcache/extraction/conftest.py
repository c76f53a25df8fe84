import pytest

from flowcache.cache.store import FlowCache


@pytest.fixture
def cache(tmp_path, recipe):
    return FlowCache.create(tmp_path / "cache", recipe())
