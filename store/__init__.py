"""Savepoint images: content-addressed chunks in packs, one manifest per savepoint.

LocalStore keeps them in a folder of this host. docs/savepoint-format.md describes the files to the byte.
"""

from __future__ import annotations

from store.errors import ImageDamaged, ImageMissing, StoreError, StoreFull
from store.image import Collected, StoredImage
from store.image_view import ImageView
from store.local import LocalStore

__all__ = [
    "Collected",
    "ImageDamaged",
    "ImageMissing",
    "ImageView",
    "LocalStore",
    "StoreError",
    "StoreFull",
    "StoredImage",
]
