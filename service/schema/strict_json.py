"""JSON from a client, read strictly: every doubt is an error with a pointer, nothing is guessed.

`json` keeps the last of two equal keys, reads NaN and recurses without bound, and no other parser
refuses all of that; so its scanner is used with hooks, behind checks on the bytes.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from service.common.errors import BodyTooLarge, InvalidRequest, Problem, escape

_LONGEST_TEXT = 65_536
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.){0,%d}+"?|[\[\]{}]' % _LONGEST_TEXT, re.DOTALL)
"""Strings as a whole, so that brackets in them do not count; possessive, so that it is linear. One
that is too long, or never ends, is cut."""

_MARKS = re.compile(rb'["\[\]{}]')
_STRETCH = 2**19
"""Where rows are limited, in so many bytes there must be a bracket or a quote: what lies between
two of them is read in one go, which holds the interpreter for 10 ms a MiB."""

_CONTAINERS_A_ROW = 10
"""Where rows are limited, so many times as many lists and objects may stand in the body: each
costs a microsecond, so that a body of nothing else would cost seconds."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LIST = ord("[")
_LONGEST_INTEGER = 25


class _OutOfRange:
    """Stands for a number that float64 cannot hold."""


class _Repeated(dict[str, Any]):
    """An object some of whose keys came twice."""

    keys_twice: tuple[str, ...] = ()


def parse(body: bytes, max_depth: int, max_rows: int | None = None) -> Any:
    """Parse UTF-8 JSON; raises InvalidRequest with each problem that was found.

    Where `max_rows` are given, raises BodyTooLarge, before anything is built, if a list within the
    outermost object has more items, and no stretch of the body holds the interpreter for long.
    """
    if not body.strip():
        raise _malformed("The body is empty.", "is empty")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _malformed(
            "The body starts with a byte order mark.", "starts with a byte order mark; send UTF-8"
        )
    _check_size(body, max_depth, max_rows)
    scanner = _Scanner()
    try:
        value = scanner.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _malformed("The body is not UTF-8.", f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _malformed(
            f"The body is not JSON: {error.msg} at {where}.", f"is not JSON: {error.msg} at {where}"
        ) from error
    surrogates = _SURROGATE.search(body) is not None
    if scanner.may_label_nan or surrogates:
        problems = list(_doubts(value, "", surrogates))
        if problems:
            raise InvalidRequest(
                f"{problems[0].pointer or 'The body'}: {problems[0].message}.", problems
            )
    return value


def _malformed(detail: str, message: str) -> InvalidRequest:
    return InvalidRequest(detail, [Problem("", message)])


def _check_size(body: bytes, max_depth: int, max_rows: int | None) -> None:
    # Linear, and mostly in C.
    pieces = range(0, len(body) - _STRETCH + 1, _STRETCH)
    for start in pieces if max_rows is not None else ():
        if _MARKS.search(body, start, start + _STRETCH) is None:
            what = f"has {_STRETCH:,} bytes without a bracket or a quote"
            raise _malformed(f"The body {what}.", what)
    most = len(body) if max_rows is None else max_rows
    depth = containers = commas = seen = 0
    in_list = False
    for token in _TOKENS.finditer(body):
        start = token.start()
        if in_list and depth == 2:
            commas += body.count(b",", seen, start)
            if commas >= most:
                raise BodyTooLarge("The number of instances", most, "rows")
        seen = token.end()
        mark = body[start]
        if seen - start > _LONGEST_TEXT:
            what = f"holds a text of more than {_LONGEST_TEXT - 2:,} bytes"
            raise _malformed(f"The body {what}.", what)
        if mark in b"[{":
            depth += 1
            containers += 1
            if depth == 2:
                commas, in_list = 0, mark == _LIST
            if depth > max_depth:
                raise _malformed(
                    f"The body nests deeper than {max_depth} levels.",
                    f"nests deeper than {max_depth} levels",
                )
            if containers > most * _CONTAINERS_A_ROW:
                limit = most * _CONTAINERS_A_ROW
                raise BodyTooLarge("The number of lists and objects", limit, "in all")
        elif mark in b"]}":
            depth -= 1


class _Scanner:
    """Python's own scanner; `may_label_nan` tells afterwards whether it let something pass."""

    def __init__(self) -> None:
        self.may_label_nan = False
        self.decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._number,
            parse_constant=_constant,
        ).decode

    def _integer(self, digits: str) -> Any:
        return int(digits) if len(digits) <= _LONGEST_INTEGER else self._number(digits)

    def _number(self, digits: str) -> Any:
        value = float(digits)
        if value - value == 0.0:
            return value
        self.may_label_nan = True
        return _OutOfRange()

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        self.may_label_nan = True
        seen: set[str] = set()
        twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        repeated = _Repeated(value)
        repeated.keys_twice = tuple(dict.fromkeys(twice))
        return repeated


def _constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON number", name, 0)


def _doubts(value: Any, pointer: str, surrogates: bool) -> Iterator[Problem]:
    """Return what the scanner lets pass: repeated keys, numbers out of range, lone surrogates."""
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
