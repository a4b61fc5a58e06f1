"""Sizes and rows of numbers as people write them."""

from __future__ import annotations

from collections.abc import Iterable

_KIB = 1024
# From here on a digit after the point says nothing.
_THREE_DIGITS = 100


def size(size_bytes: int) -> str:
    """Three digits or so: "812 B", "3.1 MiB"."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" or value >= _THREE_DIGITS else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TiB"


def ranges(numbers: Iterable[int], dash: str = "-") -> list[str]:
    """Ascending numbers, neighbours together: ["1-9", "11"]."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return [str(first) if first == last else f"{first}{dash}{last}" for first, last in found]
