"""The counts of replicas in MLflow, as files of the training's run: a restart loses a minute.

Each replica writes a file of its own, and reads it back. Those of replicas that have ended are
added to what the others count, so that nobody has to take them over, and nothing is there twice.
"""

import logging
import threading
from collections.abc import Callable, Collection
from time import monotonic, time

from service.common.errors import ServiceError, TrainingNotFound
from service.common.ports import RunFiles
from service.skew.stored import MOST_BYTES, decode, encode
from service.skew.tally import Tally
from service.skew.windows import LONGEST, Window, Windows

logger = logging.getLogger(__name__)

FOLDER = "skew"

LISTED_SECONDS = 60.0
"""How long the files of a run are not listed again."""
_MOST_FILES = 200
"""Files of one version that are added up."""
_MOST_LISTED = 64
"""Versions whose files are remembered."""


class Store:
    """Reads and writes counts; its methods may be called from any thread."""

    def __init__(
        self,
        files: RunFiles,
        own: str,
        clock: Callable[[], float] = time,
        steady: Callable[[], float] = monotonic,
    ) -> None:
        """`own` names the file of this replica; `clock` returns seconds since 1970."""
        self._files = files
        self._own = own
        self._clock = clock
        self._steady = steady
        self._lock = threading.Lock()
        self._listed: dict[str, tuple[float, list[str]]] = {}
        """When the files of a version were listed, and the replicas that wrote them."""
        self._ended: dict[tuple[str, str], Windows | None] = {}
        """What replicas wrote that have ended; None for a file that cannot be read."""

    def restore(self, tally: Tally) -> None:
        """Add what this replica wrote before to a tally, once; raises a ServiceError."""
        before = self._read(tally, self._own)
        with tally.lock:
            if not tally.restored:
                tally.restored = True
                if before is not None:
                    tally.windows.merge(before)

    def write(self, tally: Tally) -> None:
        """Write the counts of a tally that was restored, if it has more; raises a ServiceError."""
        with tally.lock:
            rows = tally.rows
            if not tally.restored or rows == tally.written:
                return
            data = encode(tally.windows)
        self._files.write_file(tally.run, _path(tally, self._own), data)
        tally.written = rows

    def of_ended(self, tally: Tally, alive: Collection[str], seconds: float) -> tuple[Window, bool]:
        """Add up what was written by replicas that are not alive; return whether that is all.

        It is not while MLflow does not answer: then what was read before counts.
        """
        if not tally.run:
            return Window(), True
        is_all = True
        with self._lock:
            for replica in alive:
                self._ended.pop((tally.key, replica), None)  # it writes more
            try:
                for replica in self._replicas(tally)[:_MOST_FILES]:
                    if replica not in (self._own, *alive):
                        self._look(tally, replica)
            except ServiceError as error:
                logger.info("counts of replicas that have ended cannot be read: %s", error)
                is_all = False
            total = Window()
            for (key, _), windows in self._ended.items():
                if key == tally.key and windows is not None:
                    total.add(windows.window(seconds))
        return total, is_all

    def _look(self, tally: Tally, replica: str) -> None:
        """Read the counts of a replica that has ended, unless that was done.

        Those that are older than any window are deleted.
        """
        known = (tally.key, replica)
        if known not in self._ended:
            self._ended[known] = self._read(tally, replica)
        windows = self._ended[known]
        if windows is not None and not windows.window(LONGEST).rows:
            self._files.delete_file(tally.run, _path(tally, replica))
            self._ended[known] = None

    def _replicas(self, tally: Tally) -> list[str]:
        """Return who has written counts of a version."""
        at, replicas = self._listed.get(tally.key, (-LISTED_SECONDS, []))
        if self._steady() - at < LISTED_SECONDS:
            return replicas
        begin = _path(tally, "")
        try:
            names = self._files.list_files(tally.run, FOLDER)
        except TrainingNotFound:
            names = []
        found = sorted(name.removeprefix(begin) for name in names if name.startswith(begin))
        while len(self._listed) >= _MOST_LISTED:
            gone = next(iter(self._listed))
            del self._listed[gone]
            self._ended = {key: one for key, one in self._ended.items() if key[0] != gone}
        self._listed[tally.key] = self._steady(), found
        return found

    def _read(self, tally: Tally, replica: str) -> Windows | None:
        """Read what a replica wrote; None where there is nothing that can be read."""
        try:
            data = self._files.read_file(tally.run, _path(tally, replica), MOST_BYTES)
            return None if data is None else decode(data, tally.layout.size, self._clock)
        except TrainingNotFound:
            return None
        except ValueError as error:
            logger.warning("counts of %s cannot be read: %s", tally.key, error)
            return None


def save(store: Store, tally: Tally, write: bool) -> None:
    """Restore a tally if it was not, and write it if that is due.

    An error is logged, and it is tried again later.
    """
    try:
        if not tally.restored:
            store.restore(tally)
        if write:
            store.write(tally)
    except ServiceError as error:
        logger.warning("counts of %s are not kept for now: %s", tally.key, error)


def _path(tally: Tally, replica: str) -> str:
    return f"{FOLDER}/{tally.key.partition('.')[2]}.{replica}"
