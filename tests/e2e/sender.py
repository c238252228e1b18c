"""Sends requests at a constant rate and reports their outcomes; a standalone script for a pod.

Open loop: each request is sent at its scheduled time, independent of earlier ones, and its
latency counts from that time. Every other one opens a new connection, the rest share keep-alive
ones. Nothing is sent twice. Only Python's standard library is needed.
"""

import asyncio
import json
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

ANSWER_SECONDS = 10.0
REACH_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one request."""

    second: int
    status: int
    milliseconds: float
    model: str
    epoch: int
    error: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a reply."""

    status: int
    headers: dict[str, str]


class Connection:
    """One connection to the target."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def closed(self) -> bool:
        """Return whether the other side has announced that it closes."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Send a request; return the whole reply."""
        self._writer.write(request)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        headers = {key.strip().lower(): value.strip() for key, value in pairs}
        await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(first.split()[1]), headers)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Sender:
    """Sends the plan's requests and keeps a record of each."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._rate = float(plan["rate"])
        self._seconds = float(plan["seconds"])
        self._address = (socket.gethostbyname(plan["host"]), int(plan["port"]))
        body = str(plan["body"]).encode()
        lines = (
            f"POST {plan['path']} HTTP/1.1",
            f"Host: {plan['host']}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        head = "\r\n".join(lines).encode()
        self._kept_request = head + b"\r\n\r\n" + body
        self._fresh_request = head + b"\r\nConnection: close\r\n\r\n" + body
        self._idle: deque[Connection] = deque()
        self._records: list[Record] = []
        self._opened = 0

    async def reach(self) -> None:
        """Wait until the target answers 200, as a new pod may have no network at first."""
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                async with asyncio.timeout(2):
                    status = (await self._ask(fresh=True)).status
            except (OSError, EOFError, TimeoutError) as error:
                status = -1
                said = repr(error)
            else:
                said = f"status {status}"
            if status == 200:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"the target was not reached: {said}")
            await asyncio.sleep(0.25)

    async def send(self) -> list[Record]:
        """Send all requests, wait for pending ones, and return the records."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for index in range(int(self._rate * self._seconds)):
                due = start + index / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(self._one(due, start, fresh=bool(index % 2)))
        return self._records

    async def _one(self, due: float, start: float, *, fresh: bool) -> None:
        answer, error = Answer(0, {}), ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._ask(fresh=fresh)
        except (OSError, EOFError, TimeoutError, ValueError, LookupError) as problem:
            error = f"{'fresh' if fresh else 'kept'}: {problem!r}"
        if not error and answer.status != 200:
            error = f"{'fresh' if fresh else 'kept'}: status {answer.status}"
        name, version = (answer.headers.get(f"x-model-{key}", "") for key in ("name", "version"))
        record = Record(
            second=int(due - start),
            status=answer.status,
            milliseconds=(time.monotonic() - due) * 1000,
            model=f"{name}/{version}",
            epoch=int(answer.headers.get("x-model-epoch", -1)),
            error=error,
        )
        self._records.append(record)

    async def _ask(self, *, fresh: bool) -> Answer:
        if fresh:
            connection = await self._open()
            try:
                return await connection.ask(self._fresh_request)
            finally:
                connection.close()
        connection = await self._kept()
        try:
            answer = await connection.ask(self._kept_request)
        except BaseException:
            connection.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._idle.append(connection)
        return answer

    async def _kept(self) -> Connection:
        while self._idle:
            connection = self._idle.popleft()
            if not connection.closed:
                return connection
            connection.close()
        return await self._open()

    async def _open(self) -> Connection:
        self._opened += 1
        return Connection(*await asyncio.open_connection(*self._address))


def summarise(records: list[Record]) -> dict[str, Any]:
    """Count the records and order their times."""
    times = sorted(record.milliseconds for record in records if not record.error)
    reasons = Counter((record.second, record.error) for record in records if record.error)
    epochs: dict[int, list[int]] = {}
    for record in sorted(records, key=lambda each: each.second):
        if not record.error:
            epochs.setdefault(record.epoch, [record.second, record.second])[1] = record.second
    return {
        "sent": len(records),
        "failed": sum(reasons.values()),
        "statuses": Counter(str(record.status) for record in records),
        "failures": [
            [second, reason, count] for (second, reason), count in sorted(reasons.items())
        ],
        "models": Counter(record.model for record in records if not record.error),
        "epochs": {str(epoch): seconds for epoch, seconds in epochs.items()},
        "p50_ms": round(at_share(times, 0.5), 2),
        "p99_ms": round(at_share(times, 0.99), 2),
        "max_ms": round(at_share(times, 1), 2),
    }


def at_share(ordered: list[float], share: float) -> float:
    """Return the quantile of ordered values at this share."""
    if not ordered:
        return -1.0
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


async def main(plan: dict[str, Any]) -> None:
    """Wait for the target, send, and write the summary as the last line."""
    sender = Sender(plan)
    await sender.reach()
    sys.stdout.write("sending\n")
    sys.stdout.flush()
    records = await sender.send()
    sys.stdout.write(json.dumps(summarise(records)) + "\n")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
