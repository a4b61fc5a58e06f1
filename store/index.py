"""Where the chunks of one image lie, by digest: what the next image of its lineage is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from store.chunk import ZERO, ZERO_DIGEST, location, pack_of
from store.manifest import ZERO_PACK, Manifest

# An image scattered over ever more packs restores ever slower: each costs an open, a footer and blocks of which little
# is used. Beyond the limit the packs that give least are forgotten, so that the next put writes their chunks anew.
PACKS_LIMIT: Final = 48
PACKS_KEPT: Final = 24


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """Immutable. locations: digest to location, whose pack numbers count in packs; zero pages are always known.

    checksums: XXH3 checksum to digest, for the lineage's own next image alone.
    """

    savepoint_id: str
    packs: Sequence[bytes]
    locations: dict[bytes, int]
    checksums: dict[bytes, bytes] = field(default_factory=dict)
    pack_set: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pack_set", frozenset(self.packs))

    def __len__(self) -> int:
        """Chunks."""
        return len(self.locations)

    def without(self, removed: Collection[bytes]) -> ImageIndex:
        """The same index without the chunks of some packs."""
        return self._keeping([number for number, pack in enumerate(self.packs) if pack not in removed])

    def bounded(self) -> ImageIndex:
        """The same index in at most PACKS_LIMIT packs, those that hold most of the image."""
        if len(self.packs) <= PACKS_LIMIT:
            return self
        uses = Counter(map(pack_of, self.locations.values()))
        uses.pop(pack_of(ZERO), None)
        return self._keeping([number for number, _ in uses.most_common(PACKS_KEPT)])

    def _keeping(self, numbers: Sequence[int]) -> ImageIndex:
        # One addition moves a location to its pack's new number.
        moved = {old: location(new, 0) - location(old, 0) for new, old in enumerate(numbers)}
        moved[pack_of(ZERO)] = 0
        locations = {
            digest: where + moved[pack] for digest, where in self.locations.items() if (pack := pack_of(where)) in moved
        }
        return ImageIndex(self.savepoint_id, [self.packs[number] for number in numbers], locations, self.checksums)


EMPTY: Final = ImageIndex("", (), {ZERO_DIGEST: ZERO})


def from_manifest(manifest: Manifest, digests_of: Callable[[bytes], Sequence[tuple[int, bytes]] | None]) -> ImageIndex:
    """The index of a stored image. digests_of: a pack's (size, digest) by chunk, None for a pack that can't be read."""
    tables = [digests_of(pack) for pack in manifest.packs]
    locations = {ZERO_DIGEST: ZERO}
    for file in manifest.files:
        for run in file.runs:
            table = None if run.pack == ZERO_PACK else tables[run.pack]
            if table is None:
                continue
            base = location(run.pack, 0)
            for index in range(run.first, min(run.first + run.chunks, len(table))):
                locations[table[index][1]] = base + index
    return ImageIndex(manifest.savepoint_id, manifest.packs, locations)
