"""Single rows that arrive in one turn of the event loop, answered by one run of the model.

A run costs much the same for one row as for ten, so that under load most of the cost is shared.
Nobody waits for others: alone, a request is answered at once, and whatever has come together in a
turn is answered at its end. Rows of several requests in one run get the labels that each would get
alone: trees to the last bit, and for others see `graphs.parity` (a row on a boundary has no side).
"""

import asyncio

from service.predictor import Predictor


class Turns:
    """Collects the rows of one model in use; lives on the event loop's thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._loop = asyncio.get_running_loop()
        self._rows: list[tuple[float, ...]] = []
        self._replies: list[asyncio.Future[bytes]] = []
        self._seen = 0
        self._crowded = False

    def alone(self) -> bool:
        """Note a request; tell whether it is to be answered at once, by itself.

        So it is unless the last turn that had any had more than one.
        """
        self._seen += 1
        if self._seen == 1:
            self._loop.call_soon(self._end)
        return not self._crowded

    def join(self, values: tuple[float, ...]) -> "asyncio.Future[bytes]":
        """Add a row to this turn's run; the future is done at the end of the turn."""
        reply = self._loop.create_future()
        self._rows.append(values)
        self._replies.append(reply)
        if len(self._rows) >= self._predictor.rows_a_turn:
            self._run()
        return reply

    def _end(self) -> None:
        self._crowded = self._seen > 1 and self._predictor.rows_a_turn > 1
        self._seen = 0
        if self._rows:
            self._run()

    def _run(self) -> None:
        rows, self._rows = self._rows, []
        replies, self._replies = self._replies, []
        try:
            answers = self._predictor.predict_rows(rows)
        except Exception as error:
            # Whoever waits has to learn of it: the callback's own edge would only log it.
            for reply in replies:
                if not reply.done():
                    reply.set_exception(error)
            return
        for reply, answer in zip(replies, answers, strict=True):
            if not reply.done():  # its client may have left
                reply.set_result(answer)
