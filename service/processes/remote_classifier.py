"""A classifier that scikit-learn computes in a worker process.

Loading one takes the interpreter's lock for tenths of a second, and scikit-learn's imports take
seconds. Here the serving process only waits for a socket, and never imports scikit-learn.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from time import thread_time

from service.common.errors import ClassifierUnavailable, WorkerCrashed, WorkersUnavailable
from service.models.classifier import Floats, Labels
from service.processes.connection import ANSWER_SECONDS, ClassifierInfo, Defect, WorkerConnection
from service.processes.job import WorkerProcess
from service.processes.messages import Crashed, Outcome
from service.processes.pool import WorkerPool

logger = logging.getLogger(__name__)

_CONNECTIONS = 2
"""Calls that a worker computes at one time: as many as `/predict` has threads."""

_END_SECONDS = 10.0
"""How long a killed worker may take to be gone."""

_STEADY_SECONDS = 60.0
"""A worker that has lived this long is started again at once when it ends."""

_LONGEST_PAUSE = 30.0


class RemoteClassifier:
    """A classifier in a worker; may be called from several threads, and never on the event loop.

    A call raises ClassifierUnavailable if its worker has ended or did not answer in time, and
    another worker is then started beside the requests; it raises Overloaded if too many calls are
    ahead of it. The worker ends when nobody holds this object any more.
    """

    in_other_process = True

    def __init__(
        self,
        workers: WorkerPool,
        title: str,
        source: Callable[[], bytes],
        names: Sequence[str],
        lost: Callable[[], None] = lambda: None,
        seconds: float = ANSWER_SECONDS,
        foreign: bool = False,
    ) -> None:
        """Start it; `source` returns the skops file, now and whenever a worker is started again.

        `title` is its name in the log, `lost` is called at every unexpected end, `seconds` is how
        long an answer may take. However a `foreign` one fails, a call raises ValueError. Raises
        ValueError for a file that is refused, WorkerCrashed and WorkersUnavailable.
        """
        supervisor = _Supervisor(workers, title, source, names, lost, seconds)
        info = supervisor.start()
        self.has_probabilities = info.has_probabilities
        self.may_label_nan = info.may_label_nan
        self._supervisor = supervisor
        self._spent = _Spent()
        self._foreign = foreign
        weakref.finalize(self, supervisor.close)

    def close(self) -> None:
        """Let the worker go; no call is answered any more."""
        self._supervisor.close()

    @property
    def connection(self) -> WorkerConnection | None:
        """The connection to the worker; None while there is no worker."""
        return self._supervisor.connection

    @property
    def ready(self) -> bool:
        """Whether there is a worker to answer."""
        return self.connection is not None

    def clock(self) -> float:
        """Return the processor seconds spent so far by this thread, and by the worker for it."""
        return thread_time() + self._spent.seconds

    def labels(self, X: Floats) -> Labels:
        """Return the index of the class of each row: [N]."""
        labels, _ = self._ask(X, False)
        return labels

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Return the indexes [N] and the probabilities [N, K]; ValueError if there are none."""
        labels, probabilities = self._ask(X, True)
        assert probabilities is not None
        return labels, probabilities

    def of_file(self, path: Path, rows: slice, probabilities: bool) -> tuple[Labels, Floats | None]:
        """Answer for rows of the matrix in a file (.npy), which the worker maps."""
        return self._answer(lambda worker: worker.ask_of_file(path, rows, probabilities))

    def _ask(self, X: Floats, probabilities: bool) -> tuple[Labels, Floats | None]:
        return self._answer(lambda worker: worker.ask(X, probabilities))

    def _answer(
        self, ask: Callable[[WorkerConnection], tuple[float, Labels, Floats | None]]
    ) -> tuple[Labels, Floats | None]:
        connection = self.connection
        if connection is None:
            raise ClassifierUnavailable
        try:
            seconds, labels, probabilities = ask(connection)
        except (EOFError, OSError) as error:
            self._supervisor.lose(connection)
            raise ClassifierUnavailable from error
        except Defect as error:
            if self._foreign:
                raise ValueError(str(error)) from error
            raise
        self._spent.seconds += seconds
        return labels, probabilities


class _Spent(threading.local):
    seconds = 0.0


class Backoff:
    """The pauses before a worker is started again, so that one that keeps ending costs little.

    0, 1, 2, 4, … 30 seconds, and 0 again after a worker that has lived for a minute.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float) -> float:
        """Return the pause after a worker that has lived for that many seconds."""
        pause = 0.0 if lived > _STEADY_SECONDS else self._next
        self._next = min(_LONGEST_PAUSE, max(1.0, 2 * pause))
        return pause


@dataclass(eq=False)
class _Supervisor:
    """Keeps a worker for a classifier running, until it is closed.

    It has no reference to the classifier, which would never be collected otherwise.
    """

    workers: WorkerPool
    title: str
    source: Callable[[], bytes]
    names: Sequence[str]
    lost: Callable[[], None]
    seconds: float
    connection: WorkerConnection | None = None

    def __post_init__(self) -> None:
        # Reentrant, because a finalizer that closes this may run wherever memory is allocated.
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._backoff = Backoff()

    def start(self) -> ClassifierInfo:
        """Start the first worker; raises like RemoteClassifier."""
        connection = self._open()
        self._take(connection)
        return connection.info

    def lose(self, connection: WorkerConnection) -> None:
        """End a worker that does not answer, and have another one started beside the caller."""
        with self._lock:
            if self.connection is not connection:
                return
            self.connection = None
        pause = self._backoff.after(time.monotonic() - connection.began)
        connection.worker.stop("It does not answer.")
        connection.close()
        self.lost()
        threading.Thread(
            target=self._start_again, args=(pause,), name="classifier", daemon=True
        ).start()

    def close(self) -> None:
        """Let the worker go, and start none any more."""
        self._closing.set()
        with self._lock:
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _take(self, connection: WorkerConnection) -> None:
        with self._lock:
            if not self._closing.is_set():
                self.connection = connection
        if self._closing.is_set():
            connection.close()
        connection.worker.outcome.add_done_callback(lambda end: self._ended(connection, end))

    def _ended(self, connection: WorkerConnection, outcome: "Future[Outcome]") -> None:
        is_expected = self._closing.is_set() or self.workers.closed
        logger.log(
            logging.INFO if is_expected else logging.WARNING,
            "process %d, which served %s, has ended: %s",
            connection.info.pid,
            self.title,
            connection.worker.stopped or _how(outcome),
        )
        if not is_expected:
            self.lose(connection)

    def _start_again(self, pause: float) -> None:
        while not self._closing.wait(pause) and not self.workers.closed:
            try:
                connection = self._open()
            except Exception as error:
                # The edge of the thread: whatever it is, the next start may succeed.
                pause = self._backoff.after(0.0)
                logger.warning("%s is not started again yet: %r", self.title, error)
            else:
                self._take(connection)
                return

    def _open(self) -> WorkerConnection:
        data = self.source()
        worker, ends = self.workers.serve(_CONNECTIONS)
        connection = WorkerConnection(worker, ends, self.seconds)
        try:
            info = connection.load(self.names, data)
        except (EOFError, OSError) as error:
            if isinstance(error, BlockingIOError):  # It did not answer in time.
                worker.stop("It does not load.")
            connection.close()
            raise _why_not_loaded(worker) from error
        except BaseException:
            connection.close()
            raise
        logger.info("process %d serves %s", info.pid, self.title)
        return connection


def _why_not_loaded(worker: WorkerProcess) -> Exception:
    """Return the error about a worker that did not load its file: the file's fault, or ours."""
    try:
        outcome = worker.outcome.result(_END_SECONDS)
    except (TimeoutError, WorkersUnavailable):
        worker.stop("It does not end.")
        return WorkersUnavailable()
    if worker.stopped is not None:
        return ValueError("loading it took too long")
    reason = _reason(outcome)
    if isinstance(outcome, Crashed) and outcome.was_killed:
        return WorkerCrashed(f"The process that loaded the model has ended. {reason}", True)
    return ValueError(f"the process that loaded it has ended. {reason}")


def _how(outcome: "Future[Outcome]") -> str:
    return "Its host has ended." if outcome.exception() else _reason(outcome.result())


def _reason(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Crashed) else "It was let go."
