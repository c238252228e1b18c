"""One job, as the function that does it sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.processes.messages import Progress


@dataclass(frozen=True, slots=True)
class Task:
    """A folder with the files that the job reads, its arguments, and where progress goes."""

    folder: Path
    spec: Mapping[str, Any]
    send: Callable[[Progress], None]

    def report(self, stage: str, share: float) -> None:
        """Tell the service how far the job has come."""
        self.send(Progress(stage, share))
