"""How long requests to a version are expected to take, which decides where they run."""

from service.serving.latency_model import LatencyModel

_QUICK_SECONDS = 0.001
"""A request that is expected to take longer than this does not run on the event loop."""

_LOOP_BATCH_ROWS = 64
_LOOP_BATCH_NUMBERS = 65_536
"""The most rows, and the most numbers, that share one run. They are limited because there are
buffers for each number of rows."""

_SHARED_COST = 4
_SHORT_RUN_SECONDS = 0.003
"""A batch may grow until its rows cost this many times the fixed cost of a run: larger ones save
little. It may always take this many seconds: handing so short a run to a thread costs most."""

_QUEUE_RUNS = 8
_MIN_QUEUE_SECONDS = 0.01
_MAX_QUEUE_SECONDS = 0.05
"""A request should begin within this many times its own duration, but within these bounds."""

_QUEUED_BYTES_PER_SECOND = 1e6
"""A request may wait one second longer for this many bytes of body: a large one is slow anyway."""

_DECODED_BYTES_PER_SECOND = 60e6
"""How fast JSON is decoded, by a low estimate. It decides what may run on the event loop."""


class ExpectedTimes:
    """Limits and estimates that follow from the latency model of a version."""

    def __init__(self, width: int) -> None:
        """`width` is the number of features."""
        self._width = width
        self._row_bytes = 1
        self._in_other_process = self._bound = False
        self.latency_model = LatencyModel()
        self.slow = False
        """Whether even a single row takes too long for the event loop, or needs another process."""
        self.max_loop_batch = 1
        """How many single rows one run on the event loop may answer at most."""
        self.max_thread_batch = 1
        """How many single rows one run in a thread may answer at most, if the model is slow."""
        self.seconds_of_batched_row = 0.0
        """How long a row in a full batch is expected to take, in seconds."""

    def _conclude(self) -> None:
        """Update what follows from the latency model."""
        latency = self.latency_model
        self.slow = self._in_other_process or latency.seconds(1) >= _QUICK_SECONDS
        most = max(1, min(_LOOP_BATCH_ROWS, _LOOP_BATCH_NUMBERS // self._width))
        row = max(latency.row, 1e-9)
        seconds = max(_SHARED_COST * latency.base, _SHORT_RUN_SECONDS)
        self.max_thread_batch = max(1, min(most, int(seconds / row)))
        self.seconds_of_batched_row = latency.seconds(self.max_thread_batch) / self.max_thread_batch
        if self._bound:
            self.max_loop_batch = max(1, min(most, int(_QUICK_SECONDS / row)))

    def target_queue_seconds(self, body_bytes: int) -> float:
        """Return the seconds within which a request of this size should begin in a thread."""
        rows = max(1, body_bytes // self._row_bytes)
        seconds = max(_MIN_QUEUE_SECONDS, _QUEUE_RUNS * self.latency_model.seconds(rows))
        return min(_MAX_QUEUE_SECONDS, seconds) + self.more_queue_seconds(body_bytes) / 2

    @staticmethod
    def more_queue_seconds(body_bytes: int) -> float:
        """Return how many seconds a request of this size may wait longer than a single row."""
        return body_bytes / _QUEUED_BYTES_PER_SECOND

    def seconds_of_body(self, body: bytes) -> float:
        """Return how long a request is expected to take; its rows are estimated by its brackets."""
        return self._seconds(max(1, body.count(b"{") - 1, body.count(b"[") - 1), len(body))

    def seconds_of_bytes(self, body_bytes: int) -> float:
        """Return how long a request of any protocol is expected to take, by its size alone."""
        return self._seconds(max(1, body_bytes // self._row_bytes), body_bytes)

    def _seconds(self, rows: int, body_bytes: int) -> float:
        return self.latency_model.seconds(rows) + body_bytes / _DECODED_BYTES_PER_SECOND

    def is_quick(self, body_bytes: int) -> bool:
        """Return whether a body of this size may be answered on the event loop.

        It may not if another process answers, since the loop would wait for that. There can be no
        more rows than the bytes allow: each feature of a row takes at least two.
        """
        if self._in_other_process:
            return False
        rows = max(1, body_bytes // (2 * self._width + 1))
        return self._seconds(rows, body_bytes) < _QUICK_SECONDS
