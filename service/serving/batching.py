"""Single rows for a slow model: those that wait for a core together are answered by one run.

A run of scikit-learn costs a millisecond before it looks at the first row, so that under load
most of the cost is shared. Nobody waits for others to come: while a core is free, a request is
begun at once, and whatever has gathered until one is free goes together. Batches hold rows of one
model in use alone, and rows that were decoded and checked one by one.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from service.common.errors import Overloaded
from service.schema.decoder import Row
from service.serving.admission import Admission
from service.serving.loop_batching import deliver
from service.serving.predictor import Predictor


class _Waiting(NamedTuple):
    row: Row
    since: float
    answer: "asyncio.Future[bytes]"


class ThreadBatcher:
    """Collects the rows of one model in use; lives on the event loop's thread."""

    def __init__(self, admission: Admission, predictor: Predictor) -> None:
        self._admission = admission
        self._predictor = predictor
        self._waiting: tuple[deque[_Waiting], deque[_Waiting]] = (deque(), deque())
        """Without probabilities, and with them."""
        self._running = 0

    async def answer(self, row: Row, probabilities: bool) -> bytes:
        """Give the reply to a row.

        Raises Overloaded where too many wait or the wait was too long, and what befell the run.
        """
        with self._admission.admit(
            self._predictor.target_queue_seconds, self._predictor.max_thread_batch
        ):
            answer = asyncio.get_running_loop().create_future()
            self._waiting[probabilities].append(_Waiting(row, perf_counter(), answer))
            self._begin()
            reply: bytes = await answer
            return reply

    def _begin(self) -> None:
        """Begin as many runs as may be under way, while anybody waits."""
        max_parallel = self._admission.max_parallel(self._predictor.max_thread_batch)
        while self._running < max_parallel and any(self._waiting):
            probabilities, batch = self._next()
            if not batch:
                continue
            self._running += 1
            rows = [one.row for one in batch]
            predict = self._predictor.predict_batch
            run = self._admission.begin(
                self._admission.max_queue_seconds, predict, rows, probabilities
            )
            run.add_done_callback(partial(self._end, [one.answer for one in batch]))

    def _next(self) -> tuple[bool, list[_Waiting]]:
        """Take those who go together with whoever has waited longest."""
        plain, sure = self._waiting
        probabilities = bool(sure) and not (plain and plain[0].since <= sure[0].since)
        queue = self._waiting[probabilities]
        late = perf_counter() - self._admission.max_queue_seconds
        batch: list[_Waiting] = []
        while queue and len(batch) < self._predictor.max_thread_batch:
            one = queue.popleft()
            if one.answer.done():  # its client has left
                continue
            if one.since < late:
                one.answer.set_exception(Overloaded())
                continue
            batch.append(one)
        return probabilities, batch

    def _end(
        self,
        waiting: "Sequence[asyncio.Future[bytes]]",
        run: "asyncio.Future[Sequence[bytes | Exception]]",
    ) -> None:
        self._running -= 1
        error = Overloaded() if run.cancelled() else run.exception()
        if isinstance(error, Exception):
            deliver(waiting, [error] * len(waiting))
        else:
            deliver(waiting, run.result())
        self._begin()
