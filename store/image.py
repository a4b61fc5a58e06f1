"""What the store says about images: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What putting an image into the store came to."""

    raw_bytes: int  # all files of the folder
    stored_bytes: int  # what the store grew by: pack and manifest


@dataclass(frozen=True, slots=True)
class Collected:
    """What a garbage collection removed, or would remove."""

    removed_packs: int
    removed_bytes: int
    removed_manifests: int


@dataclass(frozen=True, slots=True)
class ImageNeeds:
    """What an image takes in the store: its manifest, and the packs that it shares with others, by id, in bytes."""

    manifest_bytes: int
    packs: Mapping[bytes, int]
