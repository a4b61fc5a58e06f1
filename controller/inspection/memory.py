"""The memory of one process as its image has it: areas, which of their pages were dumped, and reading them."""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flowsnap.criu import images_pb2 as criu

from controller.inspection.budget import Budget
from controller.inspection.errors import Absent, Unreadable
from controller.inspection.image import Image

PAGE: Final = 4096
# What the store unpacks for one page anyway.
_PIECE_PAGES: Final = 16
_PIECE: Final = _PIECE_PAGES * PAGE
_PIECES_KEPT: Final = 256
_LARGEST_READ: Final = 1 << 20

# CRIU's kinds of areas, bits.
_STACK, _KERNEL, _HEAP = 1 << 1, 1 << 2 | 1 << 3 | 1 << 12, 1 << 5
_FILE_PRIVATE, _FILE_SHARED, _ANONYMOUS_SHARED, _SYSV, _MEMORY_FILE = 1 << 6, 1 << 7, 1 << 8, 1 << 10, 1 << 14
_WRITABLE: Final = 2
# Flags of a page map's entry.
_IN_PARENT, _PRESENT = 1, 4


class AreaKind(enum.StrEnum):
    """What a part of memory is for."""

    HEAP = "HEAP"
    STACK = "STACK"
    ANONYMOUS = "ANONYMOUS"
    FILE = "FILE"
    SHARED = "SHARED"
    KERNEL = "KERNEL"


@dataclass(frozen=True, slots=True)
class Area:
    """From start on, below end. path: of a mapped file, else empty; file_offset: bytes into it."""

    start: int
    end: int
    kind: AreaKind
    path: str
    file_offset: int
    writable: bool
    private: bool
    shared_id: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Dumped pages from start on, below end, in memory; at: where they begin in that file of the image."""

    start: int
    end: int
    file: str
    at: int


@dataclass(frozen=True, slots=True)
class _Dumped:
    """Pages in a row, and where they lie in the file of pages."""

    start: int
    pages: int
    at: int


class PageMap:
    """Which pages were dumped, and where they lie."""

    def __init__(self, image: Image, name: str) -> None:
        """Raises Unreadable."""
        head, entries = image.headed(f"criu/{name}.img", criu.PagemapHead, criu.PagemapEntry)
        self.pages_file = f"criu/pages-{head.pages_id}.img"
        self._runs: list[_Dumped] = []
        at = 0
        end = 0
        for entry in entries:
            pages = entry.pages if entry.HasField("pages") else entry.short_pages
            if entry.address < end or entry.address % PAGE or pages > 1 << 40:
                raise Unreadable(f"criu/{name}.img: its entries overlap or are out of order")
            end = entry.address + pages * PAGE
            if entry.in_parent or entry.flags & _IN_PARENT:
                continue
            if not entry.HasField("flags") or entry.flags & _PRESENT:
                self._runs.append(_Dumped(entry.address, pages, at))
                at += pages * PAGE
        if at and (self.pages_file not in image or at > image.size(self.pages_file)):
            raise Unreadable(f"{self.pages_file}: it is shorter than its page map says")
        self._starts = [run.start for run in self._runs]

    def within(self, start: int, end: int) -> Iterator[Stretch]:
        """What was dumped between two addresses."""
        number = max(0, bisect_right(self._starts, start) - 1)
        while number < len(self._runs) and self._runs[number].start < end:
            run = self._runs[number]
            first, last = max(start, run.start), min(end, run.start + run.pages * PAGE)
            if first < last:
                yield Stretch(first, last, self.pages_file, run.at + first - run.start)
            number += 1

    def offset(self, page: int) -> int | None:
        """Where the page at that address lies in the file of pages; None: it was not dumped."""
        number = bisect_right(self._starts, page) - 1
        if number < 0:
            return None
        run = self._runs[number]
        return run.at + page - run.start if page < run.start + run.pages * PAGE else None


@dataclass(frozen=True, slots=True)
class Mapped:
    """What mappings are of, by CRIU's id of a file: paths; for memory files, the number of their shared memory."""

    paths: Mapping[int, str]
    shared: Mapping[int, int]


# The bytes of a file of the container image: path, offset, length. None: it can't be had.
FileReader = Callable[[str, int, int], bytes | None]


class Memory:
    """One process's. Reads raise Absent for what the image hasn't, Exhausted when the budget is used up."""

    def __init__(self, image: Image, pid: int, mapped: Mapped, files: FileReader, budget: Budget) -> None:
        """Raises Unreadable."""
        self._image = image
        self._files = files
        self.budget = budget
        found = image.entry(f"criu/mm-{pid}.img", criu.Memory)
        self.arguments = (found.arguments_start, found.arguments_end)
        self.executable = mapped.paths.get(found.executable_id, "")
        self.areas: Sequence[Area] = [_area(area, mapped, found.stack_start) for area in found.areas]
        if any(
            not area.start < area.end or area.start < before
            for area, before in zip(self.areas, [0, *(area.end for area in self.areas)], strict=False)
        ):
            raise Unreadable(f"criu/mm-{pid}.img: its areas overlap or are out of order")
        self._starts = [area.start for area in self.areas]
        self._own = PageMap(image, f"pagemap-{pid}")
        self._shared: dict[int, PageMap | None] = {}
        self._pieces: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def read(self, address: int, length: int) -> bytes:
        """Exactly that many bytes."""
        if not 0 <= length <= _LARGEST_READ:
            raise Absent(f"{length} bytes at {address:#x} are more than is ever read at once")
        offset = address % PAGE
        if offset + length <= PAGE:
            return self._page(address - offset)[offset : offset + length]
        parts = []
        while length:
            part = self._page(address - offset)[offset : offset + length]
            parts.append(part)
            address += len(part)
            length -= len(part)
            offset = 0
        return b"".join(parts)

    def dumped(self, area: Area) -> Iterator[Stretch]:
        """What the image has of an area."""
        return self._dumped(area, area.start, area.end)

    def dumped_between(self, start: int, end: int) -> Iterator[Stretch]:
        """What the image has between two addresses."""
        number = max(0, bisect_right(self._starts, start) - 1)
        while number < len(self.areas) and self.areas[number].start < end:
            area = self.areas[number]
            yield from self._dumped(area, max(start, area.start), min(end, area.end))
            number += 1

    def _dumped(self, area: Area, start: int, end: int) -> Iterator[Stretch]:
        page_map, shift = self._page_map(area)
        if page_map is not None and start < end:
            for found in page_map.within(start - shift, end - shift):
                yield replace(found, start=found.start + shift, end=found.end + shift)

    def find(self, area: Area, wanted: bytes) -> Iterator[int]:
        """Addresses of those bytes in the dumped pages of the area, where they lie within one page."""
        for stretch in self.dumped(area):
            for page in range(stretch.start, stretch.end, PAGE):
                data = self.read(page, PAGE)
                at = data.find(wanted)
                while at >= 0:
                    yield page + at
                    at = data.find(wanted, at + 1)

    def _page_map(self, area: Area) -> tuple[PageMap | None, int]:
        """The page map that speaks of the area, and by how much its addresses are less than the process's."""
        if area.kind is not AreaKind.SHARED:
            return self._own, 0
        if area.shared_id not in self._shared:
            name = f"pagemap-shmem-{area.shared_id}"
            self._shared[area.shared_id] = PageMap(self._image, name) if f"criu/{name}.img" in self._image else None
        return self._shared[area.shared_id], area.start - area.file_offset

    def _page(self, page: int) -> bytes:
        self.budget.step()
        number = bisect_right(self._starts, page) - 1
        if number < 0 or page >= self.areas[number].end:
            raise Absent(f"nothing is mapped at {page:#x}")
        area = self.areas[number]
        page_map, shift = self._page_map(area)
        offset = None if page_map is None else page_map.offset(page - shift)
        if page_map is not None and offset is not None:
            return self._piece(page_map.pages_file, offset, self._image.read)
        if area.kind is AreaKind.FILE:
            if not area.private:
                raise Absent(f"{page:#x} is in a shared mapping of {area.path}")
            return self._piece(area.path, page - area.start + area.file_offset, self._from_file)
        if area.kind is AreaKind.KERNEL:
            raise Absent(f"{page:#x} is the kernel's")
        return bytes(PAGE)

    def _from_file(self, path: str, offset: int, length: int) -> bytes:
        data = self._files(path, offset, length)
        if data is None:
            raise Absent(f"{path} can't be read")
        return data

    def _piece(self, name: str, offset: int, read: Callable[[str, int, int], bytes]) -> bytes:
        first = offset - offset % _PIECE
        piece = self._pieces.get((name, first))
        if piece is None:
            self.budget.take(_PIECE)
            piece = self._pieces[name, first] = read(name, first, _PIECE)
            if len(self._pieces) > _PIECES_KEPT:
                self._pieces.popitem(last=False)
        else:
            self._pieces.move_to_end((name, first))
        page = piece[offset - first : offset - first + PAGE]
        # A file's last page is filled up with zeros.
        return page if len(page) == PAGE else page.ljust(PAGE, b"\0")


def _area(area: criu.Area, mapped: Mapped, stack: int) -> Area:
    kind, path, shared_id = AreaKind.ANONYMOUS, "", area.object_id
    if area.kind & _KERNEL:
        kind = AreaKind.KERNEL
    elif area.kind & _MEMORY_FILE and area.kind & _FILE_SHARED:
        kind, shared_id = AreaKind.SHARED, mapped.shared.get(area.object_id, 0)
    elif area.kind & (_FILE_PRIVATE | _FILE_SHARED):
        kind, path = AreaKind.FILE, mapped.paths.get(area.object_id, "")
    elif area.kind & (_ANONYMOUS_SHARED | _SYSV):
        kind = AreaKind.SHARED
    elif area.kind & _HEAP:
        kind = AreaKind.HEAP
    elif area.kind & _STACK or area.start <= stack < area.end:
        kind = AreaKind.STACK
    return Area(
        start=area.start,
        end=area.end,
        kind=kind,
        path=path,
        file_offset=area.file_offset,
        writable=bool(area.protection & _WRITABLE),
        private=not area.kind & _FILE_SHARED,
        shared_id=shared_id,
    )
