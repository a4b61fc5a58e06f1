"""Garbage collection: marks packs from the manifests that stay, removes the others, safe beside puts."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from store import manifest, pack
from store.catalog import Catalog
from store.chunk import DIGEST_BYTES
from store.errors import ImageMissing
from store.image import Collected

# Whatever else somebody put into the folder is left alone.
_PACK_NAME: Final = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}{re.escape(pack.SUFFIX)}$")


class Collector:
    """One collection. The order is what makes it safe: packs are listed first, then manifests are read.

    A pack that appears later is no candidate; a manifest that appears later refers to packs that its put had pinned
    while the collection ran, and the catalog says so when the pack's turn comes.
    """

    def __init__(
        self,
        catalog: Catalog,
        folders: tuple[Path, Path, Path],
        read: Callable[[str], manifest.Manifest],
        *,
        grace_s: float,
        dry_run: bool,
    ) -> None:
        self._catalog = catalog
        self._packs, self._manifests, self._temporary = folders
        self._read = read
        self._written_before = time.time() - grace_s
        self._dry_run = dry_run
        self._bytes = 0

    def run(self, live_ids: Collection[str], removed_ids: Collection[str] = ()) -> Collected:
        """Collect what none of the live savepoints needs. removed_ids are stale whatever their age.

        Raises ImageDamaged for a live manifest that can't be read: which packs it needs is unknown, so none is removed.
        """
        packs = {
            path: status.st_size for path, status in _files(self._packs, pack.SUFFIX) if _PACK_NAME.match(path.name)
        }
        stale, staying = self._split_manifests(frozenset(live_ids), frozenset(removed_ids))
        needed: set[bytes] = set()
        for savepoint_id in staying:
            try:
                needed.update(self._read(savepoint_id).packs)
            except ImageMissing:
                # Deleted since it was listed; its packs may go.
                continue
        removed_manifests = sum(self._remove_manifest(path, size) for path, size in stale)
        self._remove_temporary_files()
        unneeded = {digest: path for path in packs if (digest := bytes.fromhex(path.stem)) not in needed}
        removed_packs = self._remove_packs(unneeded, packs)
        return Collected(removed_packs, self._bytes, removed_manifests)

    def _split_manifests(
        self, live: frozenset[str], removed: frozenset[str]
    ) -> tuple[list[tuple[Path, int]], list[str]]:
        stale, staying = [], []
        for path, status in _files(self._manifests, manifest.SUFFIX):
            savepoint_id = path.name.removesuffix(manifest.SUFFIX)
            # A younger one may be of a put whose caller has not yet recorded the id.
            young = status.st_mtime > self._written_before and savepoint_id not in removed
            if savepoint_id in live or young:
                staying.append(savepoint_id)
            else:
                stale.append((path, status.st_size))
        return stale, staying

    def _remove_manifest(self, path: Path, size: int) -> bool:
        removed = self._dry_run or self._catalog.remove_manifest(path.name.removesuffix(manifest.SUFFIX), path)
        self._bytes += size if removed else 0
        return removed

    def _remove_temporary_files(self) -> None:
        """What a process that was killed left behind."""
        for path, status in _files(self._temporary, ""):
            if self._catalog.is_abandoned(path):
                self._bytes += status.st_size
                if not self._dry_run:
                    path.unlink(missing_ok=True)

    def _remove_packs(self, unneeded: dict[bytes, Path], sizes: dict[Path, int]) -> int:
        unused = [digest for digest in unneeded if self._catalog.is_unused(digest)]
        if not self._dry_run:
            self._catalog.forget(unused)
        removed = 0
        for digest in unused:
            path = unneeded[digest]
            if self._dry_run or self._catalog.remove_pack(digest, path):
                removed += 1
                self._bytes += sizes[path]
        return removed


def _files(folder: Path, suffix: str) -> list[tuple[Path, os.stat_result]]:
    """Path and status of the folder's files with that suffix."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                try:
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    return found
