"""scikit-learn beside the graph of the same classifier, for requests of very many rows.

ONNX Runtime walks all trees for one row, then for the next; scikit-learn walks one tree for all
rows, which takes a third of the time once there are enough of them. The child that computes so
costs memory, so that there is one only while such requests come, and only where it proves faster.
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
"""From so many rows on the handing over to another process may be worth it."""
_WORTH_SECONDS = 0.02
"""What the graph answers faster than this is not handed over."""
_TRIES = 3
"""So often a child is asked before it is judged: the first answers of a process are slow."""
_AGAIN = 16
"""One request in so many is for the one that was slower: what else the machine did may have been
the reason."""


class Alternate:
    """Chooses, for many rows, between a version's graph and the same classifier in a child.

    Both are measured, and the one that has been faster is asked. May be called from any thread.
    """

    def __init__(
        self,
        title: str,
        start: Callable[[], Classifier],
        idle_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`start` gives the child once it has answered as the graph does, or raises.

        It is let go when it was not asked for `idle_seconds`; 0 keeps it.
        """
        self._title = title
        self._start = start
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self.child: Classifier | None = None
        """What answers beside the graph, while it is there."""
        self._is_starting = False
        self._idle: threading.Timer | None = None
        # Seconds a row, at best: what else the machine does only ever adds to them.
        self._graph_row = self._child_row = float("inf")
        self._asked = self._tried = 0

    def answer(self, graph: Classifier, rows: int, ask: Callable[[Classifier], T]) -> T:
        """Ask the child where it is there and no slower, else the graph; raises what `ask` does."""
        child = self.child
        self._asked += 1
        if child is not None and child.ready and self._prefers_child():
            try:
                return self._ask_child(child, rows, ask)
            except ValueError:  # what is wrong with the rows
                raise
            except Exception as error:
                # Whatever befell it, the graph has the same answers.
                logger.warning("the graph of %s answers for its child: %r", self._title, error)
        start = self._clock()
        answer = ask(graph)
        seconds = self._clock() - start
        self._graph_row = min(self._graph_row, seconds / rows)
        if seconds > _WORTH_SECONDS:
            self._begin()
        return answer

    def _prefers_child(self) -> bool:
        return self._tried < _TRIES or self._is_slower() != (self._asked % _AGAIN > 0)

    def _is_slower(self) -> bool:
        """Return whether the child was asked often enough, and is the slower one."""
        return self._tried >= _TRIES and self._child_row >= self._graph_row

    def _ask_child(self, child: Classifier, rows: int, ask: Callable[[Classifier], T]) -> T:
        start = self._clock()
        answer = ask(child)
        self._child_row = min(self._child_row, (self._clock() - start) / rows)
        self._tried += 1
        self._stay()
        return answer

    def _begin(self) -> None:
        with self._lock:
            if self._is_starting or self.child is not None or self._is_slower():
                return
            self._is_starting = True
        threading.Thread(target=self._bring, name="alternate", daemon=True).start()

    def _bring(self) -> None:
        try:
            child = self._start()
        except (ServiceError, ValueError, OSError) as error:
            # Not tried again: the graph has the same answers.
            logger.warning("the graph of %s keeps answering many rows: %s", self._title, error)
            return
        with self._lock:
            self.child = child
            self._is_starting = False
        self._stay()

    def _stay(self) -> None:
        """Let the child go when nobody has asked for it for so long from now on."""
        if not self._idle_seconds:
            return
        # The timer must not keep a version, and so its child, that nobody holds any more.
        weakly = weakref.WeakMethod(self._let_go)

        def let_go() -> None:
            method = weakly()
            if method is not None:
                method()

        timer = threading.Timer(self._idle_seconds, let_go)
        timer.daemon = True
        with self._lock:
            before, self._idle = self._idle, timer
            timer.start()
        if before is not None:
            before.cancel()

    def _let_go(self) -> None:
        # A child ends when nobody holds it any more: a request that does keeps it for its time.
        self.child = None
