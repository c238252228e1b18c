"""The options of a benchmark run."""

from dataclasses import dataclass
from pathlib import Path

from tools.bench.processes import CorePool


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how often to measure, and where the servers keep their files."""

    seconds: int
    rounds: int
    cores: CorePool
    root: Path

    def folder(self, part: str) -> Path:
        """Create and return the folder of a part."""
        folder = self.root / part
        folder.mkdir()
        return folder
