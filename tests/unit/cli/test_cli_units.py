"""Sizes, durations and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.cli import printer, units
from controller.cli.errors import CliError

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("1", 1), ("512m", 512 * 2**20), ("1.5G", 3 * 2**29), ("64 KiB", 2**16), ("2gb", 2**31), ("100b", 100)],
)
def test_sizes_are_read_when_they_have_units(text, size_bytes):
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "m", "-1m", "1x", "1e9", "٣", "9999999999t", "0"])
def test_sizes_are_refused_when_they_are_none(text):
    with pytest.raises(CliError, match="not a size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (150 * 2**20, "150 MiB"),
        (2**40, "1.0 TiB"),
        (2**55, "32768.0 TiB"),
    ],
)
def test_sizes_are_written_in_the_largest_unit_when_they_are_shown(size_bytes, text):
    assert units.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d")]
)
def test_ages_are_written_in_one_unit_when_they_are_shown(seconds, text):
    assert units.ago(NOW - timedelta(seconds=seconds), NOW) == text
    assert units.ago(None) == "-"


def test_only_flexible_columns_give_way_when_a_table_is_too_wide():
    columns = (printer.Column("ID"), printer.Column("NAME", flexible=True), printer.Column("MESSAGE", flexible=True))
    rows = [("0123456789", "n" * 20, "m" * 60)]
    assert printer._fitting_widths(columns, rows, 200) == [10, 20, 60]
    assert printer._fitting_widths(columns, rows, 60) == [10, 20, 24]
    assert printer._fitting_widths(columns, rows, 20) == [10, 8, 8]
    assert printer._fitting_widths(columns, [], 80) == [2, 4, 7]
