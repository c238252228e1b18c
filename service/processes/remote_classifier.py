"""A classifier that scikit-learn computes in a process of its own.

Loading one takes the interpreter's lock for tenths of a second, and scikit-learn's imports for
seconds; here the serving process only waits for a socket, and never imports scikit-learn.
"""

import logging
import signal
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from time import thread_time
from typing import Literal

from service.common.errors import ClassifierUnavailable, WorkersUnavailable
from service.models.classifier import Floats, Labels
from service.processes.connection import ANSWER_SECONDS, ClassifierInfo, WorkerConnection
from service.processes.job import HOST_DIED
from service.processes.pool import WorkerPool

logger = logging.getLogger(__name__)

_CONNECTIONS = 2
"""Calls that a child computes at one time, as many as `/predict` has threads; one more waits."""

_SIGNALS = {number.value: number.name for number in signal.Signals}

_END_SECONDS = 10.0
"""How long a killed child may take to be gone."""

_STEADY_SECONDS = 60.0
"""A child that has lived so long is started again at once when it ends."""

_LONGEST_PAUSE = 30.0


class RemoteClassifier:
    """A classifier in a child; may be called from several threads, and never on the event loop.

    A call raises ClassifierUnavailable where its child has ended, or did not answer in time;
    another child is then started beside the requests. The child ends when nobody holds this
    object any more.
    """

    backend: Literal["native"] = "native"
    in_other_process = True

    def __init__(
        self,
        workers: WorkerPool,
        title: str,
        source: Callable[[], bytes],
        names: Sequence[str],
        lost: Callable[[], None] = lambda: None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Start it; `source` gives the skops file, now and whenever a child has to be started.

        `title` is what the log calls it, `lost` is called at every unexpected end, `seconds` is how
        long an answer may take. Raises ValueError for a file that is refused, and
        ChildrenUnavailable.
        """
        keeper = _Supervisor(workers, title, source, names, lost, seconds)
        facts = keeper.start()
        self.has_probabilities = facts.has_probabilities
        self.may_label_nan = facts.may_label_nan
        self._keeper = keeper
        self._spent = _Spent()
        weakref.finalize(self, keeper.close)

    def close(self) -> None:
        """Let the child go; no call is answered any more."""
        self._keeper.close()

    @property
    def ready(self) -> bool:
        """Whether there is a child to answer."""
        return self._keeper.line is not None

    def clock(self) -> float:
        """Give the seconds of processor spent so far by this thread and by its calls' child."""
        return thread_time() + self._spent.seconds

    def labels(self, X: Floats) -> Labels:
        """Give the index of the class of each row: [N]."""
        labels, _ = self._ask(X, False)
        return labels

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Give the indexes [N] and the probabilities [N, K]; ValueError where there are none."""
        labels, probabilities = self._ask(X, True)
        assert probabilities is not None
        return labels, probabilities

    def of_file(self, path: Path, rows: slice, probabilities: bool) -> tuple[Labels, Floats | None]:
        """Answer for rows of the matrix that a file (.npy) holds, which are not sent."""
        return self._answer(lambda line: line.ask_of_file(path, rows, probabilities))

    def _ask(self, X: Floats, probabilities: bool) -> tuple[Labels, Floats | None]:
        return self._answer(lambda line: line.ask(X, probabilities))

    def _answer(
        self, ask: Callable[[WorkerConnection], tuple[float, Labels, Floats | None]]
    ) -> tuple[Labels, Floats | None]:
        line = self._keeper.line
        if line is None:
            raise ClassifierUnavailable
        try:
            seconds, labels, chances = ask(line)
        except (EOFError, OSError) as error:
            self._keeper.lose(line)
            raise ClassifierUnavailable from error
        self._spent.seconds += seconds
        return labels, chances


class _Spent(threading.local):
    seconds = 0.0


class Backoff:
    """How long to wait before a child is started again, so that one that keeps ending costs little.

    0, 1, 2, 4, … 30 seconds; from the start again after a child that has lived for a minute.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float) -> float:
        """Give the pause after a child that has lived so many seconds."""
        pause = 0.0 if lived > _STEADY_SECONDS else self._next
        self._next = min(_LONGEST_PAUSE, max(1.0, 2 * pause))
        return pause


class _Supervisor:
    """Keeps a child for a classifier, until it is closed.

    It does not know the classifier: whoever starts a child again would keep that alive.
    """

    def __init__(
        self,
        workers: WorkerPool,
        title: str,
        source: Callable[[], bytes],
        names: Sequence[str],
        lost: Callable[[], None],
        seconds: float,
    ) -> None:
        self._workers = workers
        self._title = title
        self._source = source
        self._names = names
        self._lost = lost
        self._seconds = seconds
        # May be taken again by its holder: a finalizer runs wherever memory is allocated.
        self._lock = threading.RLock()
        self._let_go = threading.Event()
        self._pauses = Backoff()
        self.line: WorkerConnection | None = None

    def start(self) -> ClassifierInfo:
        """Start the first child; raises like ChildClassifier."""
        line = self._open()
        self._take(line)
        return line.facts

    def lose(self, line: WorkerConnection) -> None:
        """End a child that does not answer, and have another one started, beside the caller."""
        with self._lock:
            if self.line is not line:
                return
            self.line = None
        pause = self._pauses.after(time.monotonic() - line.began)
        line.child.stop("It does not answer.")
        line.cut()
        self._lost()
        threading.Thread(
            target=self._start_again, args=(pause,), name="classifier", daemon=True
        ).start()

    def close(self) -> None:
        """Let the child go, and start none any more."""
        self._let_go.set()
        with self._lock:
            line, self.line = self.line, None
        if line is not None:
            line.cut()

    def _take(self, line: WorkerConnection) -> None:
        with self._lock:
            if not self._let_go.is_set():
                self.line = line
        if self._let_go.is_set():
            line.cut()
        line.child.status.add_done_callback(lambda status: self._ended(line, status))

    def _ended(self, line: WorkerConnection, status: "Future[int]") -> None:
        expected = self._let_go.is_set() or self._workers.closed
        logger.log(
            logging.INFO if expected else logging.WARNING,
            "process %d, which served %s, ended %s",
            line.facts.pid,
            self._title,
            _how(status.result()),
        )
        if not expected:
            self.lose(line)

    def _start_again(self, pause: float) -> None:
        while not self._let_go.wait(pause) and not self._workers.closed:
            try:
                line = self._open()
            except Exception as error:
                # The edge of the thread: whatever it is, the next start may find it mended.
                pause = self._pauses.after(0.0)
                logger.warning("%s is not started again yet: %r", self._title, error)
            else:
                self._take(line)
                return

    def _open(self) -> WorkerConnection:
        data = self._source()
        child, connections = self._workers.serve(_CONNECTIONS)
        line = WorkerConnection(child, connections, self._seconds)
        try:
            facts = line.load(self._names, data)
        except (EOFError, OSError) as error:
            child.stop("It does not load.")
            line.cut()
            wait([child.status], _END_SECONDS)
            if not child.status.done() or child.status.result() == HOST_DIED:
                raise WorkersUnavailable from error
            how = _how(child.status.result())
            raise ValueError(f"the process that loaded it ended {how}") from error
        except BaseException:
            line.cut()
            raise
        logger.info("process %d serves %s", facts.pid, self._title)
        return line


def _how(status: int) -> str:
    if status == HOST_DIED:
        return "with the host of children"
    if status < 0:
        return f"by {_SIGNALS.get(-status, f'signal {-status}')}"
    return f"with status {status}"
