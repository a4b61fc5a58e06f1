"""Medians of the store's put and get on synthetic savepoint images, and what a long lineage takes on disk.

Run: python tests/bench/bench_store.py [--pages 750] [--changed 80] [--hot 0.9] [--rounds 100] [--durability process]
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from store import LocalStore

PAGE = 4096
SMALL_FILES = 35


class SyntheticImage:
    """An image folder whose memory looks like an interpreter's heap: words, most of them from a few thousand pointers.

    hot: the share of the changes that fall on the first sixth of the pages, as processes do; 0 spreads them evenly.
    """

    def __init__(self, folder: Path, pages: int, hot: float, seed: int = 1) -> None:
        self._hot = hot
        self._random = random.Random(seed)
        self._words = [struct.pack("<Q", 0x7F00_0000_0000 + self._random.randrange(1 << 28) * 16) for _ in range(4000)]
        self._words += [bytes(8)] * 2000
        self._criu = folder / "criu"
        self._criu.mkdir(parents=True)
        self._pages = [self._page() for _ in range(min(pages, 2000))]
        self._pages += [self._variant() for _ in range(pages - len(self._pages))]
        for number in range(SMALL_FILES):
            (self._criu / f"core-{number}.img").write_bytes(self._random.randbytes(200) + bytes(600))
        self._write()

    def change(self, pages: int) -> None:
        """Rewrite that many pages, and the registers."""
        sixth, hot = len(self._pages) // 6, round(pages * self._hot)
        numbers = self._random.sample(range(sixth), min(hot, sixth))
        numbers += self._random.sample(range(len(self._pages)), pages - len(numbers))
        for number in numbers:
            self._pages[number] = self._page()
        (self._criu / "core-0.img").write_bytes(self._random.randbytes(200) + bytes(600))
        self._write()

    def _page(self) -> bytes:
        return b"".join(self._random.choices(self._words, k=PAGE // 8))

    def _variant(self) -> bytes:
        # Large images: distinct pages, without the seconds that making each word by word would take.
        page = self._pages[self._random.randrange(2000)]
        return self._random.randbytes(64) + page[64:]

    def _write(self) -> None:
        (self._criu / "pages-1.img").write_bytes(b"".join(self._pages))


def timed_ms(action: Callable[[], object]) -> float:
    """Milliseconds that the action took."""
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=750)
    parser.add_argument("--changed", type=int, default=80)
    parser.add_argument("--hot", type=float, default=0.9)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--durability", choices=["host", "process"], default="process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-store-") as name:
        root = Path(name)
        image, store = (
            SyntheticImage(root / "image", options.pages, options.hot),
            LocalStore(root / "store", durability=options.durability),
        )
        folder, back = root / "image", root / "back"
        puts: list[float] = []
        gets: list[float] = []
        raw_bytes = 0
        first = timed_ms(lambda: store.put("s0", folder, lineage="bench"))
        for number in range(1, options.rounds + 1):
            image.change(options.changed)
            begin = time.perf_counter()
            stored = store.put(f"s{number}", folder, lineage="bench")
            puts.append((time.perf_counter() - begin) * 1e3)
            raw_bytes += stored.raw_bytes
            back.mkdir()
            gets.append(timed_ms(lambda savepoint=f"s{number}": store.get(savepoint, back)))
            shutil.rmtree(back)
        late = timed_ms(
            lambda: LocalStore(root / "store").put("late", folder, lineage="bench", parent=f"s{options.rounds}")
        )
        collected = timed_ms(lambda: store.collect({f"s{options.rounds}"}, grace_s=0, dry_run=True))
        size = store.size_bytes()
    print(
        f"{options.pages} pages, {options.changed} changed each time, {SMALL_FILES} small files, {options.durability}"
    )
    print(f"put, first image          {first:8.2f} ms")
    print(f"put, median of {options.rounds:<10} {statistics.median(puts):8.2f} ms   (max {max(puts):.2f})")
    print(f"put, after a restart      {late:8.2f} ms")
    print(f"get, first ten            {statistics.median(gets[:10]):8.2f} ms")
    print(f"get, last ten             {statistics.median(gets[-10:]):8.2f} ms")
    print(f"collection, dry run       {collected:8.2f} ms")
    print(f"store / raw               {size / raw_bytes:8.2%}    ({size / 2**20:.1f} of {raw_bytes / 2**20:.1f} MiB)")


if __name__ == "__main__":
    main()
