"""LocalStore: savepoint images in a folder of this host."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import faults
from store import index, manifest, pack
from store.catalog import Catalog, Lease
from store.collector import Collector
from store.errors import ImageDamaged, ImageMissing, StoreError, from_os_error, translated
from store.image import Collected, ImageNeeds, StoredImage
from store.image_reader import FolderSink, NoSink, Sink, read_image
from store.image_view import ImageView
from store.image_writer import ImageWriter
from store.key_file import KeyFile, KeyFileDamaged
from store.pack_reader import BlockCache, PackReader
from store.pack_writer import PackWriter
from store.seal import Keyring
from store.sync import sync_folder

# An id names a file.
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# How long a manifest outlives its id's absence from the live ones, seconds: a put is recorded after it committed.
GRACE_S: Final = 3600.0
# Unpacked blocks kept in memory: the newest savepoints of some dozens of small executions.
_CACHE_BYTES: Final = 64 * 1024 * 1024
# Enough to read an image's runs in order, each block once.
_VERIFY_CACHE_BYTES: Final = 1024 * 1024


class LocalStore:
    """Thread-safe; one process at a time owns the folder (collection knows the puts of its own process only).

    durability "host": what put returned for survives a power cut, at the price of four fsyncs. "process": it survives
    whatever happens to processes; after a power cut an image may be damaged, which is noticed.
    key_file: what seals the store's files, by default beside the folder; made for a store that is empty.
    Raises StoreError for a folder or a key file that can't be used.
    """

    def __init__(
        self, root: Path, *, key_file: Path | None = None, durability: Literal["host", "process"] = "process"
    ) -> None:
        self._sync = durability == "host"
        self._packs = root / "packs"
        self._manifests = root / "manifests"
        self._temporary = root / "tmp"
        self._catalog = Catalog()
        self._collection = threading.Lock()
        self._blocks = BlockCache(_CACHE_BYTES)
        with translated(f"Store {root} could not be opened"):
            for folder in (self._packs, self._manifests, self._temporary):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sync_folder(root)
            self._sync_folder(root.parent)
        self._keys = _keyring(key_file or root.with_name(f"{root.name}.key"), root, (self._packs, self._manifests))

    def put(self, savepoint_id: str, folder: Path, *, lineage: str, parent: str | None = None) -> StoredImage:
        """Store all files of the folder under the id; commits by writing the manifest last.

        lineage: what the image is compared with is the newest one of the same lineage. parent: the savepoint that the
        process came from; it is compared with where it is not that newest one (after a load, a fork, or a restart of
        this process). An id that exists is replaced. Raises StoreFull, StoreError; nothing of the id is visible then.
        """
        path = self._manifest_path(savepoint_id)
        with (
            self._catalog.lease(savepoint_id, lineage) as lease,
            PackWriter(self._temporary / f"{lease.token}{pack.SUFFIX}", self._keys) as new_pack,
        ):
            known = self._known(lease, parent)
            writer = ImageWriter(savepoint_id, known or index.EMPTY, lease.bases, new_pack)
            writer.add_folder(folder)
            with translated(f"Savepoint {savepoint_id} could not be stored"):
                image = writer.manifest(lineage, self._publish(new_pack, lease))
                encoded = image.encode(self._keys)
                self._write_manifest(path, self._temporary / f"{lease.token}{manifest.SUFFIX}", encoded)
            lease.commit(writer.index(), as_base=known is None and len(new_pack) > 0)
        return StoredImage(raw_bytes=image.raw_bytes, stored_bytes=new_pack.size_bytes + len(encoded))

    def get(self, savepoint_id: str, folder: Path) -> None:
        """Write the files back into an existing empty folder, every block verified by its hash before it is written.

        Raises ImageMissing, ImageDamaged, StoreFull (the folder's disk), StoreError; the folder then holds a part of
        the image and is to be removed.
        """
        image = self._read_manifest(savepoint_id)
        with FolderSink(folder, image) as sink:
            self._read(image, sink, self._blocks)
            sink.finish()

    def verify(self, savepoint_id: str) -> None:
        """As get, without writing, and from the disk alone."""
        self._read(self._read_manifest(savepoint_id), NoSink(), BlockCache(_VERIFY_CACHE_BYTES))

    def link(self, savepoint_id: str, new_id: str, *, lineage: str) -> StoredImage:
        """A further image with the same content under another id; writes a manifest and no chunk.

        Either may be deleted without the other. lineage: as in put. An id that exists is replaced.
        Raises ImageMissing, ImageDamaged, StoreFull, StoreError; nothing of the new id is visible then.
        """
        path = self._manifest_path(new_id)
        image = self._read_manifest(savepoint_id)
        with self._catalog.lease(new_id, lineage) as lease:
            lease.pin(image.packs)
            # Only what still exists after that is safe from a collection that was under way.
            lost = [pack_id for pack_id in image.packs if not self._pack_path(pack_id).exists()]
            if lost:
                self._read_manifest(savepoint_id)  # deleted and collected meanwhile is not damaged
                raise ImageDamaged(
                    f"Pack {self._pack_path(lost[0])} of savepoint {savepoint_id} is gone. Choose another savepoint."
                )
            with translated(f"Savepoint {new_id} could not be stored"):
                encoded = replace(image, savepoint_id=new_id, lineage=lineage).encode(self._keys)
                self._write_manifest(path, self._temporary / f"{lease.token}{manifest.SUFFIX}", encoded)
        return StoredImage(raw_bytes=image.raw_bytes, stored_bytes=len(encoded))

    def view(self, savepoint_id: str) -> ImageView:
        """The image's files, to be read in part; to be closed by leaving it as a context. Raises ImageMissing."""
        return ImageView(self._read_manifest(savepoint_id), partial(self._open_pack, cache=self._blocks))

    def delete(self, savepoint_id: str) -> None:
        """Drop the manifest; the chunks go with the next collection. Does nothing when there is none."""
        with translated(f"Savepoint {savepoint_id} could not be deleted"):
            self._manifest_path(savepoint_id).unlink(missing_ok=True)

    def needs(self, savepoint_ids: Collection[str]) -> Mapping[str, ImageNeeds]:
        """By id; an image that is not there, or can't be read, is left out."""
        sizes: dict[bytes, int] = {}
        found = {}
        for savepoint_id in savepoint_ids:
            try:
                packs = self._read_manifest(savepoint_id).packs
                manifest_bytes = self._manifest_path(savepoint_id).stat().st_size
                for pack_id in packs:
                    if pack_id not in sizes:
                        sizes[pack_id] = self._pack_path(pack_id).stat().st_size
            except (StoreError, OSError):
                continue
            found[savepoint_id] = ImageNeeds(manifest_bytes, {pack_id: sizes[pack_id] for pack_id in packs})
        return found

    def collect(
        self,
        live_ids: Collection[str],
        *,
        dry_run: bool = False,
        removed_ids: Collection[str] = (),
        grace_s: float = GRACE_S,
    ) -> Collected:
        """Remove packs that no manifest refers to, and first the manifests whose id is not live.

        A manifest younger than grace_s seconds stays, unless its id is one of removed_ids. live_ids must have been read
        before the call. Safe while puts and gets of live savepoints run. Raises ImageDamaged, with no pack removed,
        when a live manifest can't be read.
        """
        folders = self._packs, self._manifests, self._temporary
        with self._collection, self._catalog.collecting(), translated("Garbage could not be collected"):
            collector = Collector(self._catalog, folders, self._read_manifest, grace_s=grace_s, dry_run=dry_run)
            return collector.run(live_ids, removed_ids)

    def size_bytes(self) -> int:
        """Bytes of all files of the store."""
        total = 0
        with translated("The store's size could not be read"):
            for folder in (self._packs, self._manifests, self._temporary):
                with os.scandir(folder) as entries:
                    for entry in entries:
                        try:
                            total += entry.stat(follow_symlinks=False).st_size
                        except FileNotFoundError:
                            continue  # removed meanwhile
        return total

    def _known(self, lease: Lease, parent: str | None) -> index.ImageIndex | None:
        """The index to compare with; None for the first image of a lineage."""
        if parent is None or (lease.newest is not None and lease.newest.savepoint_id == parent):
            return lease.newest
        try:
            image = self._read_manifest(parent)
        except (ImageMissing, ImageDamaged):
            # It only saves space; the image that is being put is whole without it.
            return lease.newest
        lease.pin(image.packs)
        return index.from_manifest(image, self._digests).bounded()

    def _digests(self, pack_id: bytes) -> Sequence[tuple[int, bytes]] | None:
        try:
            with self._open_pack(pack_id, self._blocks) as reader:
                return reader.chunks
        except StoreError:
            return None

    def _publish(self, new_pack: PackWriter, lease: Lease) -> bytes | None:
        if not len(new_pack):
            return None
        faults.reach("controller.commit.chunks.before")
        pack_id = new_pack.finish(sync=self._sync)
        lease.publish(pack_id, new_pack.path, self._pack_path(pack_id))
        self._sync_folder(self._packs)
        faults.reach("controller.commit.chunks.after")
        return pack_id

    def _write_manifest(self, path: Path, temporary: Path, data: bytes) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                if self._sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            faults.reach("controller.commit.manifest.before")
            temporary.rename(path)
            faults.reach("controller.commit.manifest.after")
        except BaseException:
            # Where it can't be removed, the next collection takes it.
            with suppress(OSError):
                temporary.unlink()
            raise
        self._sync_folder(self._manifests)

    def _sync_folder(self, folder: Path) -> None:
        if self._sync:
            sync_folder(folder)

    def _read_manifest(self, savepoint_id: str) -> manifest.Manifest:
        path = self._manifest_path(savepoint_id)
        try:
            return manifest.decode(path.read_bytes(), savepoint_id, self._keys)
        except FileNotFoundError as error:
            raise ImageMissing(
                f"No image of savepoint {savepoint_id} is in the store ({path} does not exist). List the savepoints."
            ) from error
        except OSError as error:
            raise from_os_error(f"Manifest {path} could not be read", error) from error
        except manifest.ManifestError as error:
            raise ImageDamaged(
                f"Manifest {path} is damaged: {error}. Savepoint {savepoint_id} can't be loaded; others may be good."
            ) from error

    def _read(self, image: manifest.Manifest, sink: Sink, cache: BlockCache) -> None:
        try:
            read_image(image, partial(self._open_pack, cache=cache), sink)
        except ImageDamaged:
            # Deleted and collected meanwhile is not damaged: this says ImageMissing then.
            self._read_manifest(image.savepoint_id)
            raise

    def _manifest_path(self, savepoint_id: str) -> Path:
        if not _ID.fullmatch(savepoint_id):
            raise StoreError(
                f"{savepoint_id!r} can't be a savepoint's id: only letters, digits, '.', '_', '-', at most 128."
            )
        return self._manifests / f"{savepoint_id}{manifest.SUFFIX}"

    def _open_pack(self, pack_id: bytes, cache: BlockCache) -> PackReader:
        return PackReader(self._pack_path(pack_id), pack_id, self._keys, cache)

    def _pack_path(self, pack_id: bytes) -> Path:
        return self._packs / f"{pack_id.hex()}{pack.SUFFIX}"


def _keyring(path: Path, root: Path, folders: Sequence[Path]) -> Keyring:
    """Of the key file, which is made when the store is new."""
    file = KeyFile(path)
    with translated(f"The key of store {root} could not be read or made"):
        try:
            keys = file.keys()
            if not keys and any(map(os.listdir, folders)):
                raise StoreError(
                    f"Store {root} has savepoints, and {path} has no key to open them. Put that file back from a"
                    " backup, or move the store away to begin with an empty one."
                )
            return Keyring(keys or file.keys(create=True), str(path))
        except KeyFileDamaged as error:
            raise StoreError(f"The key file {path} is damaged: {error}. Put it back from a backup.") from error
