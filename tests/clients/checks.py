"""Checks that run in a client's own environment: the standard library, and what they import.

A script makes `Checks`, adds functions to it, and ends with `checks.main()`. Its argument is the
path of a file that describes the service (`Site`). It prints a line a check, and last its counts.
"""

import asyncio
import inspect
import json
import sys
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A version with rows, and what `/predict` answers to them."""

    name: str
    version: str
    features: list[str]
    types: list[str]
    """`number`, `text` or `boolean`, by feature."""
    rows: list[list[Any]]
    labels: list[Any]
    probabilities: list[list[float]]

    def column(self, at: int) -> list[Any]:
        """Return the values of one feature."""
        return [row[at] for row in self.rows]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as objects."""
        return [dict(zip(self.features, row, strict=True)) for row in self.rows]

    def columns(self) -> dict[str, list[Any]]:
        """Return the values by feature."""
        return {name: self.column(at) for at, name in enumerate(self.features)}


@dataclass(frozen=True, slots=True)
class Site:
    """The service: its URL, a model of four numbers that is in use, and one of mixed columns."""

    url: str
    iris: ServedModel
    mixed: ServedModel
    grpc: str = ""
    """Host and port of gRPC."""

    @property
    def address(self) -> str:
        """Return host and port."""
        return self.url.removeprefix("http://")

    @classmethod
    def load(cls, path: Path) -> "Site":
        """Read what the driver wrote."""
        content = json.loads(path.read_text())
        iris, mixed = ServedModel(**content["iris"]), ServedModel(**content["mixed"])
        return cls(content["url"], iris, mixed, content.get("grpc", ""))


class Checks:
    """The checks of one client."""

    def __init__(self) -> None:
        self._checks: list[Callable[[Site], Any]] = []
        self._left_out: dict[str, str] = {}

    def add(self, check: Callable[[Site], Any]) -> Callable[[Site], Any]:
        """Add a check, plain or a coroutine function; it fails by raising anything."""
        self._checks.append(check)
        return check

    def leave_out(self, what: str, why: str) -> None:
        """Record what the client can do but is not checked here, and why."""
        self._left_out[what] = why

    def main(self) -> None:
        """Run all, and exit with 1 if one failed."""
        site = Site.load(Path(sys.argv[1]))
        failed = []
        for check in self._checks:
            name = check.__name__.replace("_", " ")
            try:
                result = check(site)
                if inspect.isawaitable(result):
                    asyncio.run(_wait(result))
            except Exception:
                failed.append(name)
                _write(f"FAILED   {name}")
                _write(traceback.format_exc())
            else:
                _write(f"passed   {name}")
        for what, why in self._left_out.items():
            _write(f"left out {what}: {why}")
        counts = {
            "passed": len(self._checks) - len(failed),
            "failed": failed,
            "left_out": self._left_out,
        }
        _write(json.dumps(counts))
        sys.exit(1 if failed else 0)


async def _wait(result: Any) -> None:
    await result


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def equal(got: object, expected: object) -> None:
    """Assert that two values are equal, and show them if not."""
    assert got == expected, f"{got!r} is not {expected!r}"


def close(got: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Assert that nested lists of numbers agree."""
    if isinstance(expected, list):
        assert len(got) == len(expected), f"{len(got)} elements, not {len(expected)}"
        for one, other in zip(got, expected, strict=True):
            close(one, other, tolerance)
    else:
        assert abs(got - expected) <= tolerance, f"{got} is not {expected}"


@contextmanager
def raises(kind: type[BaseException], *words: str) -> Iterator[list[Any]]:
    """Assert that the block raises with these words; the list that is yielded has the error."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"no {kind.__name__} was raised"
    for word in words:
        assert word in str(caught[0]), f"{word!r} is not in {caught[0]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP reply, whatever its status."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Parse the body; NaN and Infinity are no JSON."""
        return json.loads(self.content, parse_constant=_refuse)


def _refuse(token: str) -> None:
    raise AssertionError(f"the reply has {token}, so that it is not JSON")


def call(url: str, body: object = None, **headers: str) -> Answer:
    """Get a URL, or post a body: bytes as they are, text and all else as JSON by default."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = None
    if body is not None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", **named}
    request = urllib.request.Request(url, content, named)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, _lower(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _lower(error.headers), error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
