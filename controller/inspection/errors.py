"""Errors of reading an image.

Unreadable          a part of the image is not what CRIU or the agent writes
Absent              a piece of memory that the image hasn't, or that no address space has
Exhausted           reading took more than it may: what was found until then is good
"""

from __future__ import annotations


class Unreadable(Exception):
    """Says which file of the image, and what is wrong with it."""


class Absent(Exception):
    """There is nothing at that address."""


class Exhausted(Exception):
    """The budget is used up; the message says what of it."""
