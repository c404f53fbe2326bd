"""Regions of pictures that were looked at, kept by content: many questions about one picture find them once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Final

import numpy as np

from inferry.core.samples import Regions
from inferry.core.specs import Array

CAPACITY: Final = 256 << 20
"""Bytes; more than 600 pictures of 100 regions with 1,024 features each."""


def content_key(pixels: Array) -> str:
    """Hex sha256 of a decoded picture and its size: the same for a file and its copies, whatever their format.

    Args:
        pixels: uint8 (height, width, 3).
    """
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


class RegionCache:
    """The regions of the pictures that were asked for last; may be used from any thread.

    Args:
        capacity: Bytes that are kept; those regions go first that were not asked for longest.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._kept: OrderedDict[str, Regions] = OrderedDict()
        self._bytes = 0
        self._searching: dict[str, Future[Regions]] = {}

    def get(self, key: str, find: Callable[[], Regions]) -> Regions:
        """The regions of a picture.

        Args:
            key: From `content_key`.
            find: Finds them. Threads that ask for one picture at the same time wait for the first one's search, and
                share its error; an error is not kept.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            search = self._searching.get(key)
            if mine := search is None:
                search = self._searching[key] = Future()
        if mine:
            self._search(key, search, find)
        return search.result()

    def _search(self, key: str, search: Future[Regions], find: Callable[[], Regions]) -> None:
        try:
            regions = find()
        except BaseException as error:  # noqa: BLE001 -- whoever waits must learn of it, and the caller raises it
            with self._lock:
                del self._searching[key]
            search.set_exception(error)
            return
        with self._lock:
            del self._searching[key]
            self._keep(key, regions)
        search.set_result(regions)

    def _keep(self, key: str, regions: Regions) -> None:
        self._kept[key] = regions
        self._bytes += _size(regions)
        while self._bytes > self._capacity:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(regions: Regions) -> int:
    return int(regions.box_features.nbytes + regions.box_coordinates.nbytes)
