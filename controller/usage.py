"""What an execution used, over time and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.model import UsageSample


@dataclass(frozen=True, slots=True)
class Usage:
    """samples: oldest first."""

    samples: Sequence[UsageSample]

    @property
    def cpu_us(self) -> int:
        return self.samples[-1].cpu_us if self.samples else 0

    @property
    def peak_memory_bytes(self) -> int:
        return max((sample.memory_bytes for sample in self.samples), default=0)

    @property
    def peak_pids(self) -> int:
        return max((sample.pids for sample in self.samples), default=0)
