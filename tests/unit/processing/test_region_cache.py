import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from inferry.core.errors import SampleError
from inferry.core.samples import Regions
from inferry.processing import region_cache
from inferry.processing.region_cache import RegionCache, content_key


def regions(boxes=2):
    return Regions(np.zeros((boxes, 3), np.float32), np.zeros((boxes, 4), np.float32))  # 28 bytes a box


class Finder:
    """Counts the searches."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return regions()


def test_the_key_is_that_of_the_pixels():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert content_key(pixels) == content_key(pixels.copy()) == content_key(np.asfortranarray(pixels))
    assert content_key(pixels) != content_key(pixels.reshape(4, 2, 3))
    assert content_key(pixels) != content_key(pixels[::-1])


def test_what_was_found_is_not_searched_again():
    cache, finder = RegionCache(), Finder()
    assert cache.get("a", finder) is cache.get("a", finder)
    assert finder.calls == 1
    cache.get("b", finder)
    assert finder.calls == 2


def test_what_was_asked_for_longest_ago_goes_first():
    cache, finder = RegionCache(capacity=2 * 56), Finder()
    for key in "abaca":
        cache.get(key, finder)
    assert finder.calls == 3
    cache.get("b", finder)
    assert finder.calls == 4


def test_regions_that_are_larger_than_the_cache_are_given_and_not_kept():
    cache, finder = RegionCache(capacity=55), Finder()
    assert len(cache.get("a", finder).box_features) == 2
    cache.get("a", finder)
    assert finder.calls == 2


def test_threads_that_ask_for_one_picture_wait_for_one_search():
    cache, started, waiting = RegionCache(), threading.Barrier(4), threading.Event()
    searches = []

    def find():
        searches.append(threading.get_ident())
        assert waiting.wait(5)
        return regions()

    def ask():
        started.wait(5)
        return cache.get("a", find)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(3)]
        started.wait(5)
        waiting.set()
        found = [future.result(5) for future in asked]
    assert len(searches) == 1
    assert found[0] is found[1] is found[2]


def test_other_pictures_do_not_wait():
    cache, other = RegionCache(), threading.Event()

    def slow():
        assert other.wait(5)
        return regions()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, "slow", slow)
        cache.get("quick", regions)
        other.set()
        assert first.result(5)


def test_an_error_is_told_and_not_kept():
    cache, finder = RegionCache(), Finder()

    def fail():
        raise SampleError("process", "too long and thin")

    for _ in range(2):
        with pytest.raises(SampleError, match="too long and thin"):
            cache.get("a", fail)
    assert cache.get("a", finder) is cache.get("a", finder)
    assert finder.calls == 1


def test_whoever_waits_learns_of_the_error(monkeypatch):
    waits, cache = threading.Event(), RegionCache()

    class Watched(Future):
        def result(self, timeout=None):
            waits.set()
            return super().result(5 if timeout is None else timeout)

    def fail():
        assert waits.wait(5), "the other thread has asked by now"
        raise SampleError("process", "too long and thin")

    monkeypatch.setattr(region_cache, "Future", Watched)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, "a", fail)
        while "a" not in cache._searching:
            time.sleep(0.001)
        with pytest.raises(SampleError, match="too long and thin"):
            cache.get("a", regions)
        assert isinstance(first.exception(5), SampleError)
