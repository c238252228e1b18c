"""JSON from a client, parsed strictly: every doubt is an error with a pointer.

`json` keeps the last of two equal keys, reads NaN and recurses without bound, and no other parser
refuses all of that. So its scanner is used with hooks, behind checks on the bytes.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from service.common.errors import BodyTooLarge, InvalidInput, InvalidRequest, Problem, escape

LONGEST_TEXT = 65_536
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.){0,%d}+"?|[\[\]{}]' % LONGEST_TEXT, re.DOTALL)
"""Matches whole strings, so that brackets in them do not count; possessive, so that it is linear. A
string that is too long, or never ends, is cut."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)

_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(NaN|-?Infinity)', re.DOTALL)
_NO_NUMBER = "is no JSON number"
_NULL = "; write null where a value is missing"

_LONG_TEXT = f"holds a text of more than {LONGEST_TEXT - 2:,} bytes"
_MOST_SEARCHED = 2**20
"""Bytes of a body in which the place of a text that is too long is searched."""

_MARKS = re.compile(rb'["\[\]{}]')
_STRETCH = 2**19
"""Where rows are limited, this many bytes must hold a bracket or a quote: what lies between two of
them is scanned in one call, which holds the GIL for 10 ms a MiB."""

CONTAINERS_A_ROW = 10
"""A body of rows may hold this many times as many lists and objects as rows: each costs a
microsecond, so a body of nothing else would cost seconds."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LIST = ord("[")
_LONGEST_INTEGER = 25


class _OutOfRange:
    """Stands for a number that float64 cannot hold."""


class _Repeated(dict[str, Any]):
    """An object with repeated keys."""

    keys_twice: tuple[str, ...] = ()


def parse(
    body: bytes, max_depth: int, max_rows: int | None = None, max_containers: int | None = None
) -> Any:
    """Parse UTF-8 JSON; raises InvalidRequest with every problem.

    With `max_rows`, raises BodyTooLarge, before anything is built, if a list within the outermost
    object has more items; and no part of the body holds the GIL for long. With it, or with
    `max_containers`, also raises BodyTooLarge for too many lists and objects.
    """
    if not body.strip():
        raise _malformed("The body is empty.", "is empty")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _malformed(
            "The body starts with a byte order mark.", "starts with a byte order mark; send UTF-8"
        )
    if max_containers is None:
        max_containers = len(body) if max_rows is None else max_rows * CONTAINERS_A_ROW
    has_long_text = _check_size(body, max_depth, max_rows, max_containers)
    scanner = _Scanner(body)
    try:
        value = scanner.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _malformed("The body is not UTF-8.", f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        way_out = _NULL if error.msg.endswith(_NO_NUMBER) else ""
        what = f"not JSON: {error.msg} at {where}{way_out}"
        raise _malformed(f"The body is {what}.", f"is {what}") from error
    surrogates = _SURROGATE.search(body) is not None
    if scanner.has_doubts or surrogates or has_long_text:
        problems = list(_doubts(value, "", surrogates or has_long_text))
        if problems:
            raise InvalidRequest(
                f"{problems[0].pointer or 'The body'}: {problems[0].message}.", problems
            )
    if has_long_text:  # one that is long only as it was written, by its escapes
        raise _malformed(f"The body {_LONG_TEXT}.", _LONG_TEXT)
    return value


def parse_input(
    body: bytes, max_depth: int, max_rows: int | None = None, max_containers: int | None = None
) -> Any:
    """Parse a request for predictions as `parse` does; raises InvalidInput for InvalidRequest."""
    try:
        return parse(body, max_depth, max_rows, max_containers)
    except InvalidRequest as error:
        raise InvalidInput(str(error), list(error.problems)) from error


def _malformed(detail: str, message: str) -> InvalidRequest:
    return InvalidRequest(detail, [Problem("", message)])


def _check_size(body: bytes, max_depth: int, max_rows: int | None, max_containers: int) -> bool:
    """Raise where a body is too deep or has too much; return whether a text is too long.

    It is linear, and mostly in C.
    """
    pieces = range(0, len(body) - _STRETCH + 1, _STRETCH)
    for start in pieces if max_rows is not None else ():
        if _MARKS.search(body, start, start + _STRETCH) is None:
            what = f"has {_STRETCH:,} bytes without a bracket or a quote"
            raise _malformed(f"The body {what}.", what)
    most = len(body) if max_rows is None else max_rows
    depth = containers = commas = seen = 0
    in_list = has_long_text = False
    tokens = _TOKENS.finditer(body)
    while (token := next(tokens, None)) is not None:
        start = token.start()
        if in_list and depth == 2:
            commas += body.count(b",", seen, start)
            if commas >= most:
                raise BodyTooLarge("The number of instances", most, "rows")
        seen = token.end()
        mark = body[start]
        if seen - start > LONGEST_TEXT:
            if len(body) > _MOST_SEARCHED:
                raise _malformed(f"The body {_LONG_TEXT}.", _LONG_TEXT)
            has_long_text = True
            string = _STRING.match(body, start)
            assert string is not None
            seen = string.end()
            tokens = _TOKENS.finditer(body, seen)
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
            if containers > max_containers:
                raise BodyTooLarge("The number of lists and objects", max_containers, "in all")
        elif mark in b"]}":
            depth -= 1
    return has_long_text


class _Scanner:
    """Python's own scanner; `has_doubts` is true if it accepted something that is to be refused."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.has_doubts = False
        self.decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._number,
            parse_constant=self._constant,
        ).decode

    def _integer(self, digits: str) -> Any:
        return int(digits) if len(digits) <= _LONGEST_INTEGER else self._number(digits)

    def _number(self, digits: str) -> Any:
        value = float(digits)
        if value - value == 0.0:
            return value
        self.has_doubts = True
        return _OutOfRange()

    def _constant(self, name: str) -> Any:
        """Refuse NaN or an infinity at its place, which the scanner does not tell."""
        text = self._body.decode()
        places = (token.start(1) for token in _CONSTANT.finditer(text) if token.group(1))
        raise json.JSONDecodeError(f"{name} {_NO_NUMBER}", text, next(places, 0))

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        self.has_doubts = True
        seen: set[str] = set()
        twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        repeated = _Repeated(value)
        repeated.keys_twice = tuple(dict.fromkeys(twice))
        return repeated


def _doubts(value: Any, pointer: str, texts: bool) -> Iterator[Problem]:
    """Yield what the scanner accepts: repeated keys, numbers out of range and, with `texts`, texts.

    A text is refused if it is too long or holds half a surrogate pair.
    """
    if isinstance(value, dict):
        if isinstance(value, _Repeated):
            for key in value.keys_twice:
                yield Problem(f"{pointer}/{escape(key)}", "is there twice")
        for key, item in value.items():
            if texts and (doubt := _doubt_of_text(key)):
                yield Problem(pointer, f"has a key that {doubt}")
            elif not isinstance(item, str | int | float) or texts:
                yield from _doubts(item, f"{pointer}/{escape(key)}", texts)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, str | int | float) or texts:
                yield from _doubts(item, f"{pointer}/{index}", texts)
    elif isinstance(value, _OutOfRange):
        yield Problem(pointer, "is out of the range of a 64-bit number")
    elif texts and isinstance(value, str) and (doubt := _doubt_of_text(value)):
        yield Problem(pointer, doubt)


def _doubt_of_text(text: str) -> str:
    """Return what is wrong with a text; empty where nothing is."""
    if len(json.dumps(text, ensure_ascii=False).encode(errors="surrogatepass")) > LONGEST_TEXT:
        return _LONG_TEXT
    return "holds half a surrogate pair" if _is_torn(text) else ""


def _is_torn(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
