"""For requests of very many rows: scikit-learn in a worker process, beside the ONNX graph.

ONNX Runtime takes one row after the other through all trees. scikit-learn takes all rows through
one tree after the other, which is faster for many rows: 0.6 us a row instead of 1.7
(docs/performance.md). The worker needs memory, so it runs only while such requests come, and it is
asked only if it was measured to be faster.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final, TypeVar

from service.common.errors import ServiceError
from service.models.classifier import Classifier

logger = logging.getLogger(__name__)

T = TypeVar("T")

MANY: Final = 20_000
"""With this many rows or more, another process may be faster although it has to get them."""
_LEAST_SECONDS = 0.02
"""A request starts a worker only if the graph needed more time than this."""
_LEAST_ANSWERS = 3
"""The worker is compared after this many answers, since the first ones of a process are slow."""
_RECHECK_EVERY = 16
"""One request in this many goes to the slower of the two, to measure it again: it may have been
slow only because the machine was busy."""


class Alternate:
    """Measures a version's graph and the same classifier in a worker, and asks the faster one.

    It may be called from any thread.
    """

    def __init__(
        self,
        title: str,
        start: Callable[[], Classifier],
        idle_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`start` returns a worker whose answers were checked to be those of the graph, or raises.

        After `idle_seconds` without a request the worker is released; with 0 it never is.
        """
        self._title = title
        self._start = start
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self.worker: Classifier | None = None
        """The worker, while there is one."""
        self._is_starting = False
        self._idle: threading.Timer | None = None
        # The shortest times of a row: other load only makes them longer.
        self._graph_row = self._worker_row = float("inf")
        self._asked = self._tried = 0

    def answer(self, graph: Classifier, rows: int, ask: Callable[[Classifier], T]) -> T:
        """Ask the worker if it is ready and not slower, else the graph; raises what `ask` does."""
        worker = self.worker
        self._asked += 1
        if worker is not None and worker.ready and self._prefers_worker():
            try:
                return self._ask_worker(worker, rows, ask)
            except ValueError:  # The rows are wrong; the graph would say the same.
                raise
            except Exception as error:
                # The graph has the same answers.
                logger.warning(
                    "the graph of %s answers instead of its worker: %r", self._title, error
                )
        start = self._clock()
        answer = ask(graph)
        seconds = self._clock() - start
        self._graph_row = min(self._graph_row, seconds / rows)
        if seconds > _LEAST_SECONDS:
            self._begin_start()
        return answer

    def _prefers_worker(self) -> bool:
        return self._tried < _LEAST_ANSWERS or self._is_slower() != (
            self._asked % _RECHECK_EVERY > 0
        )

    def _is_slower(self) -> bool:
        """Return whether the worker has been measured often enough, and was slower."""
        return self._tried >= _LEAST_ANSWERS and self._worker_row >= self._graph_row

    def _ask_worker(self, worker: Classifier, rows: int, ask: Callable[[Classifier], T]) -> T:
        start = self._clock()
        answer = ask(worker)
        self._worker_row = min(self._worker_row, (self._clock() - start) / rows)
        self._tried += 1
        self._restart_timer()
        return answer

    def _begin_start(self) -> None:
        with self._lock:
            if self._is_starting or self.worker is not None or self._is_slower():
                return
            self._is_starting = True
        threading.Thread(target=self._start_worker, name="alternate", daemon=True).start()

    def _start_worker(self) -> None:
        try:
            worker = self._start()
        except (ServiceError, ValueError, OSError) as error:
            # Not tried again: the graph has the same answers.
            logger.warning("the graph of %s keeps answering many rows: %s", self._title, error)
            return
        with self._lock:
            self.worker = worker
            self._is_starting = False
        self._restart_timer()

    def _restart_timer(self) -> None:
        """Release the worker after `idle_seconds` from now without another request."""
        if not self._idle_seconds:
            return
        # The timer must not keep this object, and with it the worker, alive.
        weakly = weakref.WeakMethod(self._release)

        def release() -> None:
            method = weakly()
            if method is not None:
                method()

        timer = threading.Timer(self._idle_seconds, release)
        timer.daemon = True
        with self._lock:
            before, self._idle = self._idle, timer
            timer.start()
        if before is not None:
            before.cancel()

    def _release(self) -> None:
        # The process ends with the last reference: a request that is being answered keeps it.
        self.worker = None
