"""CSV files are read as their owner would expect, or refused with the line."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.domain import Note
from service.common.errors import BodyTooLarge, UnsupportedMediaType, UnusableData
from service.worker.data.csv import read_csv
from service.worker.data.table import Limits
from tests.support.columns import values

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def sentence(data: bytes) -> str:
    with pytest.raises(UnusableData) as caught:
        read_csv(data, at="/file")
    assert caught.value.problems
    assert all(problem.pointer == "/file" for problem in caught.value.problems)
    return str(caught.value)


def test_csv_columns_get_their_type_from_all_their_values() -> None:
    table = read_csv(b"n,b,t,m\n1,true,x,\n-2.5e3,FALSE,1,7\n,,,\n")
    assert [c.type for c in table.columns.values()] == ["number", "boolean", "text", "number"]
    assert values(table, "n") == [1.0, -2500.0, None]
    assert values(table, "b") == [True, False, None]
    assert values(table, "t") == ["x", "1", None]
    assert values(table, "m") == [None, 7.0, None]


@pytest.mark.parametrize("quote", ["", '"'])
def test_csv_fields_are_trimmed_unless_they_are_quoted(quote: str) -> None:
    lines = f'n , b, t, "q"\n 1,true , x \t,{quote} x {quote}\n 2 , False, y\u00a0, "y, z" \n'
    table = read_csv(lines.encode())
    assert list(table.columns) == ["n", "b", "t", "q"]
    assert values(table, "n") == [1.0, 2.0]
    assert values(table, "b") == [True, False]
    assert values(table, "t") == ["x", "y"]
    assert values(table, "q") == [" x " if quote else "x", "y, z"]


def test_csv_lines_of_blanks_are_no_rows_and_fields_of_blanks_are_missing() -> None:
    assert values(read_csv(b"a,b\n1,x\n  \n2, \n"), "b") == ["x", None]


@pytest.mark.parametrize(
    "text", ["0x10", "1_000", "1d5", "\u0661", "1 2", "--1", "e5", "1e", "..", "nan(1)"]
)
def test_csv_values_that_only_python_or_c_reads_as_numbers_are_text(text: str) -> None:
    assert read_csv(f"a,b\n{text},1\n2,1\n".encode()).columns["a"].type == "text"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_csv_any_newline_is_read(newline: bytes) -> None:
    table = read_csv(newline.join([b"a,b", b"1,x", b"2,y", b""]))
    assert values(table, "b") == ["x", "y"]


def test_csv_mixed_newlines_a_byte_order_mark_and_blank_lines_are_read() -> None:
    table = read_csv(b"\xef\xbb\xbfa,b\r\n1,x\n\n2,y\r3,z")
    assert list(table.columns) == ["a", "b"]
    assert values(table, "a") == [1.0, 2.0, 3.0]


def test_csv_quoted_fields_hold_separators_newlines_and_quotes() -> None:
    table = read_csv(b'"a,1","b\nc"\n"x,""y""","1\r\n2"\n')
    assert list(table.columns) == ["a,1", "b\nc"]
    assert values(table, "a,1") == ['x,"y"']
    assert values(table, "b\nc") == ["1\r\n2"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_csv_separated_by_another_sign_is_read(separator: str) -> None:
    table = read_csv(f"a{separator}b\n1{separator}x,y\n".encode())
    assert values(table, "b") == ["x,y"]


def test_csv_header_with_semicolons_and_tabs_is_refused() -> None:
    assert "semicolons and tabs" in sentence(b"a;b\tc\n1;2\t3\n")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_decimal_commas_are_read_where_the_comma_separates_nothing(separator: str) -> None:
    table = read_csv(
        f"a{separator}b\n1,5{separator}x\n-1.234,5{separator}y\n2{separator}z\n".encode()
    )
    assert values(table, "a") == [1.5, -1234.5, 2.0]
    assert Note("a", "has decimal commas") in table.notes


@pytest.mark.parametrize("word", ["inf", "-Infinity"])
def test_csv_words_for_numbers_are_refused_with_their_row(word: str) -> None:
    message = sentence(f"a,b\n1,x\n{word},y\n".encode())
    assert "row 2" in message
    assert word in message


def test_csv_words_for_numbers_are_text_among_text() -> None:
    assert values(read_csv(b"a,b\nnan,1\nno,2\n"), "a") == ["nan", "no"]


@pytest.mark.parametrize("text", ["1e400", "-1e400", "+1e999", "1" * 400])
def test_csv_numbers_beyond_float64_are_refused(text: str) -> None:
    assert "row 1" in sentence(f"a,b\n{text},x\n1,y\n".encode())


def test_csv_integers_that_would_lose_digits_are_refused() -> None:
    assert "2^53" in sentence(b"a,b\n9007199254740993,x\n1,y\n")
    assert values(read_csv(b"a,b\n9007199254740994,x\n"), "a") == [9007199254740994.0]


def test_csv_rows_of_another_length_are_listed_with_their_lines() -> None:
    with pytest.raises(UnusableData) as caught:
        read_csv(b"a,b\n1,2\n\n3\n4,5,6\n7,8\n")
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "line 4 has 1 fields; the header has 2",
        "line 5 has 3 fields; the header has 2",
    ]


def test_csv_at_most_twenty_problems_are_listed() -> None:
    with pytest.raises(UnusableData) as caught:
        read_csv(b"a,b\n" + b"1\n" * 100)
    assert len(caught.value.problems) == 20


def test_csv_quote_that_is_never_closed_is_refused() -> None:
    assert "never closed" in sentence(b'a,b\n1,2\n3,"4\n5,6\n')


def test_csv_in_latin_1_is_refused_with_the_line() -> None:
    message = sentence("a,b\r\nsim,não\r\n".encode("latin-1"))
    assert "Latin-1" in message
    assert "line 2" in message


def test_csv_in_utf_16_is_refused() -> None:
    assert "UTF-16" in sentence("a,b\n1,2\n".encode("utf-16"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"a,b\n",
        b"a,b",
        b"a,b\n1,\x002\n",
        b"a,,c\n1,2,3\n",
        b"a,a\n1,2\n",
    ],
)
def test_csv_without_names_or_rows_or_with_nul_is_refused(data: bytes) -> None:
    assert sentence(data).endswith(".")


def test_csv_of_an_index_alone_is_refused() -> None:
    assert "every column is left out" in sentence(b"Unnamed: 0\n0\n1\n")


def test_csv_names_that_differ_in_spaces_alone_are_one_name() -> None:
    assert "both called 'a'" in sentence(b"a, a\n1,2\n")


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08\x00", b"PK\x03\x04"])
def test_csv_that_is_compressed_is_another_media_type(magic: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        read_csv(magic + b"rest")


def test_csv_over_a_limit_is_too_large() -> None:
    header = ",".join(f"c{i}" for i in range(10_001))
    with pytest.raises(BodyTooLarge, match="10,000 columns"):
        read_csv(f"{header}\n".encode())
    with pytest.raises(BodyTooLarge, match="2 rows"):
        read_csv(b"a,b\n1,2\n1,2\n1,2\n", Limits(rows=2))
    with pytest.raises(BodyTooLarge, match="5 cells"):
        read_csv(b"a,b\n1,2\n1,2\n1,2\n", Limits(cells=5))


def test_csv_problem_shows_at_most_64_characters_of_a_value() -> None:
    message = sentence(b"a,b\n" + b"9" * 5000 + b",x\n1,y\n")
    assert "9" * 64 not in message


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_csv_what_the_csv_module_writes_is_read_back(data: st.DataObject) -> None:
    names = data.draw(
        st.lists(
            NAMES.filter(lambda name: name.strip()).map("n".__add__),
            min_size=2,
            max_size=4,
            unique_by=str.strip,
        )
    )
    rows = data.draw(st.integers(1, 5))
    columns: dict[str, list[Any]] = {}
    for name in names:
        kind = data.draw(st.sampled_from([FINITE, st.booleans(), TEXTS.map("x".__add__)]))
        cell: st.SearchStrategy[Any] = st.none() | kind
        columns[name] = data.draw(st.lists(cell, min_size=rows, max_size=rows))
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    table = read_csv(sink.getvalue().encode())
    assert list(table.columns) == [name.strip() for name in names]
    for name, written in columns.items():
        assert values(table, name.strip()) == written


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text('a,;\t"\n\r1.e-n', max_size=40).map(str.encode))
def test_csv_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    try:
        table = read_csv(data)
    except (UnusableData, UnsupportedMediaType):
        return
    assert table.rows > 0
