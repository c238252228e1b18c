"""A pool whose workers misbehave, on request or instead of what the service asks for."""

import contextlib
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.processes.job import Job
from service.processes.limits import JobLimits
from tests.support.server import SharedWorkers


class MisbehavingWorkers(SharedWorkers):
    """Workers whose hosts also run the jobs of `misbehaving`; tracks all their processes."""

    def __init__(self) -> None:
        super().__init__()
        self._sign = f"MISBEHAVING={uuid.uuid4().hex}"
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        self._log.touch()
        to_log = ("sh", "-c", 'exec "$@" 2>>"$0"', str(self._log))
        host = (sys.executable, "-m", "tests.support.misbehaving")
        self.command = ("env", self._sign, *to_log, *host)
        self._instead: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def start(self, kind: str, folder: Path, spec: Mapping[str, Any], limits: JobLimits) -> Job:
        kind, spec = self._instead.get(kind, (kind, spec))
        return super().start(kind, folder, spec, limits)

    @contextlib.contextmanager
    def instead_of(self, *kinds: str, do: str, **spec: object) -> Iterator[None]:
        """Start this misbehaving job wherever one of these kinds is asked for."""
        self._instead = dict.fromkeys(kinds, (do, spec))
        try:
            yield
        finally:
            self._instead = {}

    def processes(self) -> set[int]:
        """Return the hosts and all their descendants, wherever they are now."""
        pids = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._sign.encode() in path.read_bytes().split(b"\0"):
                    pids.add(int(path.parent.name))
        return pids

    def logged(self) -> str:
        """Return all that the hosts have written to standard error."""
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        super().end()
        self._folder.cleanup()
