"""JSON from a client, read strictly: every doubt is an error with a pointer, nothing is guessed.

`json` keeps the last of two equal keys, reads NaN and recurses without bound, and no other parser
refuses all of that; so its scanner is used with hooks, behind checks on the bytes.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from service.errors import InvalidRequest, Problem, escape

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
"""Strings as a whole, so that brackets in them do not count; possessive, so that it is linear."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_INTEGER = 25


class _OutOfRange:
    """Stands for a number that float64 cannot hold."""


class _Repeated(dict[str, Any]):
    """An object some of whose keys came twice."""

    keys_twice: tuple[str, ...] = ()


def parse(body: bytes, max_depth: int) -> Any:
    """Parse UTF-8 JSON; raises InvalidRequest with each problem that was found."""
    if not body.strip():
        raise _malformed("The body is empty.", "is empty")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _malformed(
            "The body starts with a byte order mark.", "starts with a byte order mark; send UTF-8"
        )
    _check_depth(body, max_depth)
    try:
        value = _scan(body.decode())
    except UnicodeDecodeError as error:
        raise _malformed("The body is not UTF-8.", f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _malformed(
            f"The body is not JSON: {error.msg} at {where}.", f"is not JSON: {error.msg} at {where}"
        ) from error
    problems = list(_doubts(value, "", bool(_SURROGATE.search(body))))
    if problems:
        raise InvalidRequest(
            f"{problems[0].pointer or 'The body'}: {problems[0].message}.", problems
        )
    return value


def _malformed(detail: str, message: str) -> InvalidRequest:
    return InvalidRequest(detail, [Problem("", message)])


def _check_depth(body: bytes, limit: int) -> None:
    depth = 0
    for token in _TOKENS.finditer(body):
        mark = body[token.start()]
        if mark in b"[{":
            depth += 1
            if depth > limit:
                raise _malformed(
                    f"The body nests deeper than {limit} levels.",
                    f"nests deeper than {limit} levels",
                )
        elif mark in b"]}":
            depth -= 1


def _integer(digits: str) -> Any:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else _number(digits)


def _number(digits: str) -> Any:
    value = float(digits)
    return value if value - value == 0.0 else _OutOfRange()


def _constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON number", name, 0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    repeated = _Repeated(value)
    repeated.keys_twice = tuple(dict.fromkeys(twice))
    return repeated


_scan = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
).decode


def _doubts(value: Any, pointer: str, surrogates: bool) -> Iterator[Problem]:
    """Give what the scanner lets pass: repeated keys, numbers out of range, lone surrogates."""
    if isinstance(value, dict):
        if isinstance(value, _Repeated):
            for key in value.keys_twice:
                yield Problem(f"{pointer}/{escape(key)}", "is there twice")
        for key, item in value.items():
            if surrogates and _is_torn(key):
                yield Problem(pointer, "has a key with half a surrogate pair")
            elif not isinstance(item, str | int | float) or surrogates:
                yield from _doubts(item, f"{pointer}/{escape(key)}", surrogates)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, str | int | float) or surrogates:
                yield from _doubts(item, f"{pointer}/{index}", surrogates)
    elif isinstance(value, _OutOfRange):
        yield Problem(pointer, "is out of the range of a 64-bit number")
    elif surrogates and isinstance(value, str) and _is_torn(value):
        yield Problem(pointer, "holds half a surrogate pair")


def _is_torn(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
