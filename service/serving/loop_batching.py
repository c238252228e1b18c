"""Single rows that arrive in one turn of the event loop, answered by one run of the model.

A run costs much the same for one row as for ten, so that under load most of the cost is shared.
Nobody waits for others: alone, a request is answered at once, and whatever has come together in a
turn is answered at its end. Rows of several requests in one run get the labels that each would get
alone: trees to the last bit, and for others see `graphs.parity` (a row on a boundary has no side).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from service.schema.decoder import Row
from service.serving.predictor import Predictor

T = TypeVar("T")

Deliver = Callable[[Sequence[T], Sequence[bytes | Exception]], None]


class LoopBatcher(Generic[T]):
    """Collects the rows of one model in use; lives on the event loop's thread.

    Each row comes with somebody who waits for its answer: `deliver` gets them together with the
    answers, a reply or what went wrong. It must not raise.
    """

    def __init__(self, predictor: Predictor, deliver: Deliver[T]) -> None:
        self._predictor = predictor
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._plain: tuple[list[Row], list[T]] = ([], [])
        self._sure: tuple[list[Row], list[T]] = ([], [])
        self._seen = 0
        self._crowded = False

    def add(self, row: Row, probabilities: bool, waiting: T) -> None:
        """Answer a row at the end of this turn, together with the others of it, or at once.

        At once, and by itself, unless the last turn that had any had more than one.
        """
        self._seen += 1
        if self._seen == 1:
            self._loop.call_soon(self._end)
        if not self._crowded:
            self._run([row], [waiting], probabilities)
            return
        rows, all_waiting = self._sure if probabilities else self._plain
        rows.append(row)
        all_waiting.append(waiting)
        if len(rows) >= self._predictor.max_loop_batch:
            self.flush()

    def flush(self) -> None:
        """Answer whatever waits for the end of the turn."""
        (plain, sure) = (self._plain, self._sure)
        if plain[0]:
            self._plain = ([], [])
            self._run(*plain, False)
        if sure[0]:
            self._sure = ([], [])
            self._run(*sure, True)

    def _end(self) -> None:
        self._crowded = self._seen > 1 and self._predictor.max_loop_batch > 1
        self._seen = 0
        self.flush()

    def _run(self, rows: list[Row], waiting: list[T], probabilities: bool) -> None:
        answers: Sequence[bytes | Exception]
        try:
            answers = self._predictor.predict_rows(rows, probabilities)
        except Exception as error:
            # Whoever waits has to learn of it: the callback's own edge would only log it.
            answers = [error] * len(rows)
        self._deliver(waiting, answers)


def deliver(
    waiting: "Sequence[asyncio.Future[bytes]]", answers: Sequence[bytes | Exception]
) -> None:
    """Give everybody who still waits the own answer, or what went wrong."""
    for future, answer in zip(waiting, answers, strict=True):
        if future.done():  # its client may have left
            continue
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)
