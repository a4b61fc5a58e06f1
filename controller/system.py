"""The controller itself, as operators see it: versions, folder, store, counts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from controller.ports import Database
from controller.services import Services


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """running: executions that have not ended."""

    version: str
    data_dir: Path
    pid: int
    container_image: str
    store_bytes: int
    executions: int
    running: int
    savepoints: int


async def system_info(services: Services) -> SystemInfo:
    """As of now."""
    executions, running, savepoints = await services.db(Database.counts)
    return SystemInfo(
        version=version("flowsnap"),
        data_dir=services.config.data_dir,
        pid=os.getpid(),
        container_image=services.config.container_image,
        store_bytes=await services.in_store(services.store.size_bytes),
        executions=executions,
        running=running,
        savepoints=savepoints,
    )
