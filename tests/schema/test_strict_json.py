"""Strict JSON: everything ambiguous is an error with a pointer to its place."""

import time
import tracemalloc

import pytest

from service.common.errors import BodyTooLarge, InvalidRequest
from service.schema.strict_json import parse


def _problems(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        parse(body, 32)
    return [(problem.pointer, problem.message) for problem in caught.value.problems]


def test_repeated_keys_are_pointed_at_wherever_they_are() -> None:
    assert _problems(b'{"a": [{"b": 1, "b": 2}], "c": 1, "c": 1}') == [
        ("/c", "is there twice"),
        ("/a/0/b", "is there twice"),
    ]


def test_keys_are_escaped_in_pointers() -> None:
    assert _problems(b'{"a/b~c": 1e999}') == [
        ("/a~1b~0c", "is out of the range of a 64-bit number")
    ]


def test_depth_is_counted_outside_of_strings_only() -> None:
    assert parse(b'["[[[[[[[[", "]"]', 1) == ["[[[[[[[[", "]"]
    assert _problems(b"[" * 33 + b"]" * 33) == [("", "nests deeper than 32 levels")]


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not() -> None:
    assert parse(b'"\\ud83d\\ude00"', 4) == "\N{GRINNING FACE}"
    assert _problems(b'["\\ud83d"]') == [("/0", "holds half a surrogate pair")]


def test_integers_are_exact_and_endless_ones_are_refused() -> None:
    assert parse(b"[9007199254740993]", 4) == [9007199254740993]
    assert _problems(b"[%s]" % (b"9" * 5000)) == [("/0", "is out of the range of a 64-bit number")]


@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * 2_000_000, b"[" * 4_000_000, b'{"a":' * 1_000_000, b'"' * 3_000_001],
)
def test_hostile_bodies_cost_time_that_grows_with_their_length(body: bytes) -> None:
    start = time.process_time()

    assert _problems(body)

    assert time.process_time() - start < 10


LONG = 8 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"a": "' + text + b'"}' for text in (b"a" * LONG, b"\\n" * (LONG // 2))),
        *(b'{"a": ' + text + b"}" for text in (b"9" * LONG, b" " * LONG + b"1", b"-" * LONG)),
        b'{"a": "' + b"a" * LONG,
        b"," * LONG,
    ],
    ids=["text", "escapes", "digits", "spaces", "minus", "no end", "commas"],
)
def test_nothing_long_is_read_in_one_go(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="524,288 bytes without a bracket or a quote"):
        parse(body, 4, 10_000)


def test_a_text_has_a_largest_size_and_what_is_in_it_does_not_matter() -> None:
    for text in (b"a" * 65_534, b'\\"' * 32_767, b"[" * 65_534):
        assert len(parse(b'["%b"]' % text, 4, 10)[0]) in (65_534, 32_767)
        assert parse(b'{"%b": 1}' % text, 4)
        for longer in (text + b"a", text + b'\\"'):
            body = b'["%b", "["]' % longer
            assert _problems(body) == [("/0", "holds a text of more than 65,534 bytes")]


def test_a_long_column_of_numbers_is_no_long_text() -> None:
    body = b'{"columns": {"a": [' + b"1.5," * 200_000 + b"1]}}"
    assert len(parse(body, 4)["columns"]["a"]) == 200_001


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b"{'a': 1}", b"[1,]", b"01", b"nul"])
def test_what_other_parsers_let_pass_is_refused(body: bytes) -> None:
    assert "is not JSON" in _problems(body)[0][1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [' + b"{}," * 2_700_000 + b"{}]}",
        b'{"instances": [' + b"[1]," * 2_000_000 + b"[1]]}",
        b'{"instances": [' + b'"a,",' * 1_000_000 + b'""]}',
        b"[" + b"{}," * 2_700_000 + b"{}]",
        b'{"a":[],' * 1_000_000,
        b'{"instances": {"a": [' + b"[],[]," * 1_000_000,
    ],
)
def test_too_many_rows_are_refused_before_anything_is_built(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            parse(body, 1_000_000, 10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Threads of other tests' services may allocate a little; the rows would take 100 MB.
    assert peak < 1_000_000


def test_rows_are_counted_to_the_last_and_only_in_a_list() -> None:
    rows = ["[1, 2]", '{"a,b": ",,,"}', '","', "3", "[]"]
    assert parse(b'{"instances": [%s]}' % ",".join(rows).encode(), 32, 5) is not None
    with pytest.raises(BodyTooLarge, match="limit of 4 rows"):
        parse(b'{"instances": [%s]}' % ",".join(rows).encode(), 32, 4)

    assert parse(b'{"instances": {"a": 1, "b": 2}, "c": [1]}', 32, 1) is not None
    assert parse(b'{"instances": [[1, 2, 3]]}', 32, 1) is not None


def test_a_text_that_is_too_long_is_pointed_at_whatever_it_holds() -> None:
    long = b'"' + b'[{\\"' * 20_000 + b'"'

    assert _problems(b'{"instances": [{"x": 1}, {"x": %s}]}' % long) == [
        ("/instances/1/x", "holds a text of more than 65,534 bytes")
    ]
    assert _problems(b"{%s: 1}" % long)[0][0] == ""
    assert _problems(b'{"x": %s}' % (b'"%s"' % (b"x" * 2**20)))[0][0] == ""
    assert "not JSON" in _problems(b'{"x": %s' % long)[0][1]
