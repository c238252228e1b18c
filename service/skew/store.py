"""Stores the counts in MLflow, as files of the training's run, so that a restart loses a minute.

Each replica writes its own file, and reads it back when it starts again. The files of replicas that
have ended are only read, and added to the counts of the others: so nothing is counted twice.
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
"""The list of the files of a run is used for this long before they are listed again."""
_MOST_FILES = 200
"""At most this many files of one version are added up."""
_MOST_LISTED = 64
"""The lists of files of at most this many versions are kept."""


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
        """By version: when its files were listed, and which replicas wrote them."""
        self._ended: dict[tuple[str, str], Windows | None] = {}
        """By version and ended replica: what the replica wrote; None if that cannot be read."""

    def restore(self, tally: Tally) -> None:
        """Add to a tally what this replica wrote before it restarted; raises a ServiceError.

        A tally that has been restored is left as it is.
        """
        before = self._read(tally, self._own)
        with tally.lock:
            if not tally.restored:
                tally.restored = True
                if before is not None:
                    tally.windows.merge(before)

    def write(self, tally: Tally) -> None:
        """Write a tally if it has new rows and has been restored; raises a ServiceError."""
        with tally.lock:
            rows = tally.rows
            if not tally.restored or rows == tally.written:
                return
            data = encode(tally.windows)
        self._files.write_file(tally.run, _path(tally, self._own), data)
        tally.written = rows

    def of_ended(self, tally: Tally, alive: Collection[str], seconds: float) -> tuple[Window, bool]:
        """Return the sum of the counts of replicas that have ended, and whether it is complete.

        While MLflow does not answer, it has only the counts that were read before.
        """
        if not tally.run:
            return Window(), True
        is_all = True
        with self._lock:
            for replica in alive:
                self._ended.pop((tally.key, replica), None)  # its file will change
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
        """Read the counts of a replica that has ended, unless they have been read.

        A file is deleted if all its counts are older than the longest window.
        """
        known = (tally.key, replica)
        if known not in self._ended:
            self._ended[known] = self._read(tally, replica)
        windows = self._ended[known]
        if windows is not None and not windows.window(LONGEST).rows:
            self._files.delete_file(tally.run, _path(tally, replica))
            self._ended[known] = None

    def _replicas(self, tally: Tally) -> list[str]:
        """Return the replicas that have written counts of a version."""
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
        """Return what a replica wrote; None if there is nothing, or nothing that can be read."""
        try:
            data = self._files.read_file(tally.run, _path(tally, replica), MOST_BYTES)
            return None if data is None else decode(data, tally.layout.size, self._clock)
        except TrainingNotFound:
            return None
        except ValueError as error:
            logger.warning("counts of %s cannot be read: %s", tally.key, error)
            return None


def save(store: Store, tally: Tally, write: bool) -> None:
    """Restore a tally unless that was done, and write it if `write` says so.

    Errors are logged and not raised, since the keeper tries again later.
    """
    try:
        if not tally.restored:
            store.restore(tally)
        if write:
            store.write(tally)
    except ServiceError as error:
        logger.warning("counts of %s are not kept for now: %s", tally.key, error)


def _path(tally: Tally, replica: str) -> str:
    return f"{FOLDER}/{tally.key}.{replica}"
