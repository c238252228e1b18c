"""One job, as the function that does it sees it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.common.search import SearchState, Trial
from service.processes.messages import News, Progress, SearchNews


@dataclass(frozen=True, slots=True)
class Task:
    """A folder with the files that the job reads, its arguments, and where progress goes."""

    folder: Path
    spec: Mapping[str, Any]
    send: Callable[[News], None]

    def report(self, stage: str, share: float) -> None:
        """Tell the service how far the job has come."""
        self.send(Progress(stage, share))

    def report_search(self, state: SearchState, trials: Sequence[Trial]) -> None:
        """Tell the service how far the job's search has come, and of trials since the last time."""
        self.send(SearchNews(state, tuple(trials)))
