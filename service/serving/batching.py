"""Single rows answered together: by one run on the event loop, or by one run in a thread.

A run of ten rows costs little more than a run of one, so rows that share a run save time under
load. No row waits for others to arrive: a single row is answered at once. Rows share the next run
only if they arrive while a run is under way, or in the same iteration of the event loop. Each row
gets the label that it would get alone. For trees this holds to the last bit; for other classifiers
see `onnx_export.parity` (the label of a row exactly on a decision boundary may differ).
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Generic, ParamSpec, TypeVar

from service.common.errors import Overloaded
from service.schema.decoder import Row
from service.serving.admission import Admission
from service.serving.core_pool import usable
from service.serving.predictor import Predictor

P = ParamSpec("P")
T = TypeVar("T")

Deliver = Callable[[Sequence[T], Sequence[bytes | Exception]], None]

MAX_QUEUE_SECONDS = 0.1
"""The longest time that a row waits for a thread; after that it is refused."""

_SWITCH_SECONDS = 0.001
"""After this time, a thread that runs Python code makes room for the event loop."""


class LoopBatcher(Generic[T]):
    """Answers rows of one fast model on the event loop's thread.

    `deliver` gets the list of those who wait, and the list of their answers, each a reply or an
    error. It must not raise.
    """

    def __init__(self, predictor: Predictor, deliver: Deliver[T]) -> None:
        self._predictor = predictor
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._plain: tuple[list[Row], list[T]] = ([], [])
        self._with_probabilities: tuple[list[Row], list[T]] = ([], [])
        self._arrived = 0
        self._crowded = False

    def add(self, row: Row, probabilities: bool, waiting: T) -> None:
        """Answer a row: at once, or together with others at the end of this iteration of the loop.

        It waits for that end only if the last iteration with any rows had more than one.
        """
        self._arrived += 1
        if self._arrived == 1:
            self._loop.call_soon(self._end_iteration)
        if not self._crowded:
            self._run([row], [waiting], probabilities)
            return
        rows, all_waiting = self._with_probabilities if probabilities else self._plain
        rows.append(row)
        all_waiting.append(waiting)
        if len(rows) >= self._predictor.max_loop_batch:
            self.flush()

    def flush(self) -> None:
        """Answer the rows that wait for the end of the iteration."""
        plain, with_probabilities = self._plain, self._with_probabilities
        if plain[0]:
            self._plain = ([], [])
            self._run(*plain, False)
        if with_probabilities[0]:
            self._with_probabilities = ([], [])
            self._run(*with_probabilities, True)

    def _end_iteration(self) -> None:
        self._crowded = self._arrived > 1 and self._predictor.max_loop_batch > 1
        self._arrived = 0
        self.flush()

    def _run(self, rows: list[Row], waiting: list[T], probabilities: bool) -> None:
        answers: Sequence[bytes | Exception]
        try:
            answers = self._predictor.predict_rows(rows, probabilities)
        except Exception as error:
            # The event loop would only log the error, and those who wait would wait forever.
            answers = [error] * len(rows)
        self._deliver(waiting, answers)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request in the queue: one row, or a function that answers all of it."""

    answer: "asyncio.Future[Any]"
    seconds: float
    """How long it is expected to take."""
    expires: float
    """The time by `perf_counter` after which it is refused if it has not begun."""
    function: Callable[[], Any] | None = None
    predictor: Predictor | None = None
    row: Row = ()
    probabilities: bool = False

    @property
    def max_batch(self) -> int:
        """The most requests that one run may answer together with this one."""
        return 1 if self.predictor is None else self.predictor.max_thread_batch

    def may_join(self, first: "_Waiting") -> bool:
        """Return whether one run may answer this request together with `first`."""
        return (
            self.predictor is not None
            and self.predictor is first.predictor
            and self.probabilities == first.probabilities
        )


class ThreadBatcher:
    """Answers slow requests of every model in threads, in the order in which they arrived.

    Single rows of one model are answered by one run. It is used on the event loop's thread.
    """

    def __init__(self, admission: Admission, threads: int, cores: int | None = None) -> None:
        """Use this many threads; `cores` is the number of them that batches may use at a time."""
        self.max_queue_seconds = MAX_QUEUE_SECONDS
        self._admission = admission
        self._threads = threads
        self._cores = min(threads, cores or usable())
        self._queue: deque[_Waiting] = deque()
        self._running = 0
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    def parallel(self, max_batch: int) -> int:
        """Return how many runs of at most this many requests may be under way.

        Batches that share a core delay each other, so there is one for each core. Runs of single
        requests use all threads: with two of them, even one core gives them more of its time while
        the event loop is busy refusing other requests.
        """
        return self._threads if max_batch == 1 else self._cores

    def is_full(self, predictor: Predictor, body_bytes: int) -> bool:
        """Return whether a slow request of this size would be refused now."""
        parallel = self.parallel(predictor.max_thread_batch)
        return self._admission.is_full(predictor.target_queue_seconds(body_bytes), parallel)

    async def answer_row(
        self, predictor: Predictor, row: Row, probabilities: bool, body_bytes: int
    ) -> bytes:
        """Return the reply to a row; raises Overloaded, or what its run raised."""
        waiting = self._waiting(predictor.seconds_of_batched_row, self.max_queue_seconds)
        waiting.predictor, waiting.row, waiting.probabilities = predictor, row, probabilities
        reply: bytes = await self._answer(waiting, predictor, body_bytes)
        return reply

    async def run(
        self,
        predictor: Predictor,
        body_bytes: int,
        seconds: float,
        function: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function that answers a request with a body of this size; raises Overloaded.

        `seconds` is how long it is expected to take.
        """
        max_seconds = self.max_queue_seconds + predictor.more_queue_seconds(body_bytes)
        waiting = self._waiting(seconds, max_seconds)
        waiting.function = partial(function, *args, **kwargs)
        result: T = await self._answer(waiting, predictor, body_bytes)
        return result

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _waiting(self, seconds: float, max_seconds: float) -> _Waiting:
        answer = asyncio.get_running_loop().create_future()
        return _Waiting(answer, seconds, perf_counter() + max_seconds)

    async def _answer(self, waiting: _Waiting, predictor: Predictor, body_bytes: int) -> Any:
        target = predictor.target_queue_seconds(body_bytes)
        with self._admission.admit(target, self.parallel(waiting.max_batch)):
            self._queue.append(waiting)
            self._admission.enqueue(waiting.seconds)
            self._begin()
            return await waiting.answer

    def _begin(self) -> None:
        """Begin runs until no request waits or no more runs may be under way."""
        while self._queue and self._running < self.parallel(self._queue[0].max_batch):
            batch = self._next_batch()
            if batch:
                self._submit(batch)

    def _next_batch(self) -> list[_Waiting]:
        """Take the first request from the queue, and the others that the same run may answer."""
        first = self._queue[0]
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        now = perf_counter()
        while self._queue and len(batch) < first.max_batch:
            waiting = self._queue.popleft()
            if waiting is not first and not waiting.may_join(first):
                others.append(waiting)
                continue
            self._admission.dequeue(waiting.seconds)
            if waiting.answer.done():  # its client has left
                continue
            if waiting.expires < now:
                waiting.answer.set_exception(Overloaded())
            else:
                batch.append(waiting)
        self._queue.extendleft(reversed(others))
        return batch

    def _submit(self, batch: list[_Waiting]) -> None:
        self._running += 1
        function = batch[0].function
        if function is None:
            predictor, probabilities = batch[0].predictor, batch[0].probabilities
            assert predictor is not None
            rows = [waiting.row for waiting in batch]
            function = partial(predictor.predict_batch, rows, probabilities)
        run = asyncio.get_running_loop().run_in_executor(self._pool, _timed, function)
        run.add_done_callback(partial(self._end, batch))

    def _end(
        self, batch: list[_Waiting], run: "asyncio.Future[tuple[Any, Exception | None, float]]"
    ) -> None:
        self._running -= 1
        if run.cancelled():  # the service ends
            deliver([waiting.answer for waiting in batch], [Overloaded()] * len(batch))
            return
        result, error, taken = run.result()
        predictor = batch[0].predictor
        expected = batch[0].seconds
        if predictor is not None:
            expected = predictor.latency_model.seconds(len(batch))
        self._admission.learn(expected, taken)
        if error is not None:
            result = [error] * len(batch)
        elif batch[0].function is not None:
            result = [result]
        deliver([waiting.answer for waiting in batch], result)
        self._begin()


def _timed(function: Callable[[], T]) -> tuple[T | None, Exception | None, float]:
    """Run a function; return its result or what it raised, and the seconds that it took."""
    start = perf_counter()
    try:
        return function(), None, perf_counter() - start
    except Exception as error:
        # `deliver` raises it where the answer is awaited.
        return None, error, perf_counter() - start


def deliver(waiting: "Sequence[asyncio.Future[Any]]", answers: Sequence[object]) -> None:
    """Set the answer or the error of each future; skip those whose clients have left."""
    for future, answer in zip(waiting, answers, strict=True):
        if future.done():  # it was cancelled when its client left
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
