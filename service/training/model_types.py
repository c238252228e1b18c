"""The classifiers that can be trained, read from a worker process, which has scikit-learn."""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.common.errors import JobFailed, ModelTypeNotFound, WorkersUnavailable
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool

_LIMITS = JobLimits(seconds=60.0, memory_bytes=2**30)


class ModelTypes:
    """Reads the catalogue once: it changes only with the installed scikit-learn."""

    def __init__(self, workers: WorkerPool, work: Path) -> None:
        self._workers = workers
        self._work = work
        self._lock = threading.Lock()
        self._catalogue: dict[str, list[dict[str, Any]]] = {}

    def all(self) -> Sequence[dict[str, Any]]:
        """Return every type with its parameters."""
        return self._ask("model_types")

    def get(self, name: str) -> dict[str, Any]:
        """Return one; raises ModelTypeNotFound."""
        for kind in self.all():
            if kind["name"] == name:
                return kind
        raise ModelTypeNotFound(name)

    def built_in_data_sets(self) -> Sequence[dict[str, Any]]:
        """Return the data sets that scikit-learn ships."""
        return self._ask("built_ins")

    def _ask(self, kind: str) -> list[dict[str, Any]]:
        with self._lock:
            if kind not in self._catalogue:
                with tempfile.TemporaryDirectory(dir=self._work) as name:
                    job = self._workers.start(kind, Path(name), {}, _LIMITS)
                    try:
                        result = job.wait(_LIMITS.seconds)
                    except (TimeoutError, JobFailed) as error:
                        job.stop("It took too long.")
                        raise WorkersUnavailable from error
                assert isinstance(result, list)
                self._catalogue[kind] = result
            return self._catalogue[kind]
