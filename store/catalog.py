"""What the running process knows of its store: newest indexes by lineage, and which packs are in use just now.

One lock holds these together, and that is what makes collection safe beside puts: a put takes an index and pins all
its packs in one step, the collector forgets a pack, finds it unpinned and unlinks it in one step.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from store.index import ImageIndex

# About 200 bytes each, so 200 MB at worst: the pages of 4 GiB of processes.
CHUNKS_LIMIT: Final = 1_000_000
# First images of other lineages that a put looks into: containers of the same image share most pages.
_BASES: Final = 4


class Lease:
    """What one put holds: the packs that it may refer to can't be removed until it has ended.

    newest is the index of the lineage's newest image, bases those of other lineages' first ones. token is what the
    put's temporary files are called.
    """

    def __init__(self, catalog: Catalog, lineage: str, newest: ImageIndex | None, bases: Sequence[ImageIndex]) -> None:
        self.newest = newest
        self.bases = bases
        self.token = uuid.uuid4().hex
        self.lineage = lineage
        self.pinned: list[bytes] = []
        # A pack that this put alone made and that no manifest refers to yet.
        self.made: tuple[bytes, Path] | None = None
        self._catalog = catalog

    def pin(self, packs: Collection[bytes]) -> None:
        """Keep these packs, too. Only those that still exist after this call are safe."""
        with self._catalog.lock:
            self._catalog.pin_for(self, packs)

    def publish(self, pack: bytes, temporary: Path, path: Path) -> None:
        """Pin a finished pack and move it to its name."""
        with self._catalog.lock:
            existed = path.exists()
            self._catalog.pin_for(self, [pack])
            temporary.rename(path)
            if not existed:
                self.made = pack, path

    def commit(self, index: ImageIndex, *, as_base: bool) -> None:
        """The manifest is written: the index becomes the lineage's newest, and one that other lineages look into."""
        self.made = None
        self._catalog.remember(self.lineage, index, as_base=as_base)


class Catalog:
    """Thread-safe."""

    def __init__(self, chunks_limit: int = CHUNKS_LIMIT) -> None:
        self.lock = threading.Lock()
        self._chunks_limit = chunks_limit
        self._newest: OrderedDict[str, ImageIndex] = OrderedDict()  # by lineage, least recently used first
        self._bases: deque[ImageIndex] = deque(maxlen=_BASES)
        self._pins: Counter[bytes] = Counter()
        self._shared: set[bytes] = set()  # pinned by more than one put since they were last unpinned
        self._writing: dict[str, str] = {}  # savepoint id by token
        # Packs that were pinned at any time since a running collection began: a put that ended meanwhile may have
        # written a manifest that the collection did not see.
        self._touched: set[bytes] | None = None

    @contextmanager
    def lease(self, savepoint_id: str, lineage: str) -> Iterator[Lease]:
        """Begin a put: all packs of the indexes in the lease are pinned until it ends."""
        with self.lock:
            newest = self._newest.get(lineage)
            lease = Lease(self, lineage, newest, tuple(self._bases))
            self._writing[lease.token] = savepoint_id
            for index in (*lease.bases, *((newest,) if newest else ())):
                self.pin_for(lease, index.pack_set)
        try:
            yield lease
        finally:
            self._end(lease)

    def pin_for(self, lease: Lease, packs: Collection[bytes]) -> None:
        """Count pins. The caller holds the lock."""
        lease.pinned.extend(packs)
        for pack in packs:
            if self._pins[pack]:
                self._shared.add(pack)
            self._pins[pack] += 1
        if self._touched is not None:
            self._touched.update(packs)

    def _end(self, lease: Lease) -> None:
        with self.lock:
            del self._writing[lease.token]
            if lease.made is not None and lease.made[0] not in self._shared:
                # Where it can't be removed, the next collection takes it.
                with suppress(OSError):
                    lease.made[1].unlink()
            for pack in lease.pinned:
                self._pins[pack] -= 1
                if not self._pins[pack]:
                    del self._pins[pack]
                    self._shared.discard(pack)

    def remember(self, lineage: str, index: ImageIndex, *, as_base: bool) -> None:
        """Make an index its lineage's newest, dropping the lineages longest unused when there are too many chunks."""
        index = index.bounded()
        with self.lock:
            self._newest[lineage] = index
            self._newest.move_to_end(lineage)
            if as_base and len(index) <= self._chunks_limit // (2 * _BASES):
                self._bases.appendleft(index)
            chunks = sum(map(len, self._newest.values())) + sum(map(len, self._bases))
            while chunks > self._chunks_limit and len(self._newest) > 1:
                chunks -= len(self._newest.popitem(last=False)[1])

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """While a collection runs, remember every pack that a put pins. One collection at a time."""
        with self.lock:
            self._touched = set(self._pins)
        try:
            yield
        finally:
            with self.lock:
                self._touched = None

    def forget(self, packs: Collection[bytes]) -> None:
        """No later put shall find chunks in these packs."""
        removed = frozenset(packs)
        with self.lock:
            for lineage, index in self._newest.items():
                if not removed.isdisjoint(index.pack_set):
                    self._newest[lineage] = index.without(removed)
            for number, index in enumerate(self._bases):
                if not removed.isdisjoint(index.pack_set):
                    self._bases[number] = index.without(removed)

    def remove_pack(self, pack: bytes, path: Path) -> bool:
        """Unlink a pack that was forgotten, unless a put has come to use it since the collection began."""
        with self.lock:
            if self._touched is None or pack in self._touched:
                return False
            path.unlink(missing_ok=True)
            return True

    def remove_manifest(self, savepoint_id: str, path: Path) -> bool:
        """Unlink a manifest unless a put is writing it."""
        with self.lock:
            if savepoint_id in self._writing.values():
                return False
            path.unlink(missing_ok=True)
            return True

    def is_abandoned(self, temporary: Path) -> bool:
        """Whether a temporary file is no running put's: left behind by a process that was killed."""
        with self.lock:
            return temporary.stem not in self._writing

    def is_unused(self, pack: bytes) -> bool:
        """Whether no put has used the pack since the collection began: what remove_pack would say."""
        with self.lock:
            return self._touched is not None and pack not in self._touched
