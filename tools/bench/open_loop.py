"""Requests at a fixed rate, however long the replies take."""

import time
from collections.abc import Iterator

from tools.bench.client import Client


def send_at(
    client: Client, body: bytes, per_second: float, *others: Client
) -> Iterator[tuple[bytes, float]]:
    """Predict at a fixed rate without end, by clients in turn; yield replies and latencies.

    Latencies are in seconds. A request that waits for the one before it counts from when it was
    due. One that is late because this process woke late counts from when it was sent.
    """
    begin = free = time.perf_counter()
    clients = client, *others
    index = 0
    while True:
        due = begin + index / per_second
        if free > due:
            start = due
        else:
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
        reply = clients[index % len(clients)].send("POST", "/predict", body)
        free = time.perf_counter()
        yield reply, free - start
        index += 1
