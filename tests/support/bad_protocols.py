"""The corpus of bad input in the protocols of others: what `bad_input` is for our own."""

import gzip
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.support.bad_input import GOOD

NAMES = list(GOOD)
ROW = list(GOOD.values())
HEAD = "inference-header-content-length"
_JSON = {"content-type": "application/json"}
_BYTES = {"content-type": "application/octet-stream"}
_CSV = {"content-type": "text/csv"}
_MOST = 8 * 2**20


class Case(NamedTuple):
    """A request and its status."""

    path: str
    body: bytes
    status: int
    headers: Mapping[str, str] = _JSON


class Form(NamedTuple):
    """A form of rows: a body with places for one cell and for what stands beside the rows."""

    path: str
    begin: bytes
    end: bytes
    row: bytes

    def body(self, cell: bytes = b"5.1", more: bytes = b"") -> bytes:
        """Return a request of one row, whose first cell is this."""
        return self.begin + self.row.replace(b"CELL", cell) + self.end.replace(b"MORE", more)

    def rows(self, count: int) -> bytes:
        """Return a request of many rows."""
        row = self.row.replace(b"CELL", b"5.1")
        begin = self.begin.replace(b"[1,4]", b"[%d,4]" % count)
        return begin + b",".join([row] * count) + self.end.replace(b"MORE", b"")


_NAMES = json.dumps(NAMES).encode()
_RECORD = json.dumps({**GOOD, NAMES[0]: "CELL"}).encode().replace(b'"CELL"', b"CELL")
_ARRAY = b"[CELL,3.5,1.4,0.2]"
_TENSOR = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":['
_SPLIT = b'{"dataframe_split":{"columns":%b,"data":[' % _NAMES

FORMS: Mapping[str, Form] = {
    "V2": Form("/v2/models/iris/infer", _TENSOR, b"]}]MORE}", b"CELL,3.5,1.4,0.2"),
    "V2 of a version": Form(
        "/v2/models/iris/versions/1/infer", _TENSOR, b"]}]MORE}", b"CELL,3.5,1.4,0.2"
    ),
    "V1": Form("/v1/models/iris:predict", b'{"instances":[', b"]MORE}", _ARRAY),
    "V1 by name": Form("/v1/models/iris:predict", b'{"instances":[', b"]MORE}", _RECORD),
    "version": Form("/models/iris/versions/1/predict", b'{"instances":[', b"]MORE}", _ARRAY),
    "split": Form("/invocations", _SPLIT, b"]}MORE}", _ARRAY),
    "records": Form("/invocations", b'{"dataframe_records":[', b"]MORE}", _RECORD),
    "instances": Form("/invocations", b'{"instances":[', b"]MORE}", _ARRAY),
    "inputs": Form("/invocations", b'{"inputs":[', b"]MORE}", _RECORD),
}

_CELLS: Mapping[str, tuple[bytes, int]] = {
    "P6 NaN literal": (b"NaN", 400),
    "P6 Infinity literal": (b"-Infinity", 400),
    "P9 beyond float64": (b"1e400", 400),
    "P9 an integer beyond float64": (b"9" * 400, 400),
    "P11 NaN as text": (b'"NaN"', 400),
    "P13 true for a number": (b"true", 400),
    "P13 a word for a number": (b'"five"', 400),
    "P14 null": (b"null", 400),
    "P18 a value too few": (b"", 400),
    "P18 a value too many": (b"1,2", 400),
    "P26 integer of 5000 digits": (b"9" * 5000, 400),
    "P28 smallest number": (b"5e-324", 200),
    "P28 minus zero": (b"-0.0", 200),
    "P31 depth 100000": (b"[" * 100_000, 400),
    "P31 depth 100000, closed": (b"[" * 100_000 + b"]" * 100_000, 400),
    "P39 invalid UTF-8": (b'"\xff"', 400),
    "P39 lone surrogate": (b'"\\ud800"', 400),
    "P46 text of 7 MiB": (b'"%b"' % (b"x" * 7 * 2**20), 400),
    "P46 number of 7 MiB": (b"1" * 7 * 2**20, 400),
    "P46 text of digits": (b'"%bx"' % (b"1" * 60_000), 400),
    "P47 a cell is an object": (b"{}", 400),
    "P47 a cell is a list": (b"[1]", 400),
    "P47 a cell is a list of 40000": (b"[%b]" % b",".join([b"1"] * 40_000), 400),
}

_BODIES: Mapping[str, tuple[bytes, int]] = {
    "P1 empty body": (b"", 400),
    "P1 blank body": (b" \n", 400),
    "P2 no JSON": (b"hello", 400),
    "P21 a number": (b"1", 400),
    "P29 depth 33": (b"[" * 33 + b"]" * 33, 400),
    "P31 objects 100000 deep": (b'{"a":' * 100_000, 400),
    "P37 empty object": (b"{}", 400),
    "P37 a list": (b"[]", 400),
    "P37 null": (b"null", 400),
    "P41 UTF-16": ('{"instances": [[5.1, 3.5, 1.4, 0.2]]}'.encode("utf-16"), 400),
    "P43 NUL in a key": (b'{"a\\u0000": 1}', 400),
    "P46 key of 7 MiB": (b'{"%b": 1}' % (b"k" * 7 * 2**20), 400),
    "P54 unterminated string with quotes": (b'{"instances": "' + b'\\"' * 500_000, 400),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every case by its name."""
    for name, form in FORMS.items():
        for what, case in _of_form(form):
            yield f"{name}: {what}", case
    for what, case in _of_binary():
        yield f"V2 in binary: {what}", case
    for what, (body, status) in _FILES.items():
        yield f"CSV: {what}", Case("/invocations", body, status, _CSV)


def _of_form(form: Form) -> Iterator[tuple[str, Case]]:
    path, good = form.path, form.body()
    for what, (cell, status) in _CELLS.items():
        if not (form.row == _RECORD and what.startswith("P18")):
            yield what, Case(path, form.body(cell), status)
    for what, (body, status) in _BODIES.items():
        yield what, Case(path, body, status)
    key = good[1 : good.index(b":") + 1]
    ignores = path == "/invocations"  # as MLflow does, what stands beside the rows
    yield "good", Case(path, good, 200)
    yield "P3 cut off", Case(path, good[:-4], 400)
    yield "P16 no rows", Case(path, form.rows(0), 400)
    yield "P32 10000 rows", Case(path, form.rows(10_000), 200)
    yield "P32 10001 rows", Case(path, form.rows(10_001), 413)
    yield "P33 over 8 MiB", Case(path, form.body(b" " * _MOST), 413)
    yield "P35 a key twice", Case(path, b"{%b[],%b" % (key, good[1:]), 400)
    hidden = b'"\\u%04x%b' % (key[1], key[2:])
    yield "P35 a key twice, hidden", Case(path, b"{%b[],%b" % (hidden, good[1:]), 400)
    yield "P36 unknown key", Case(path, form.body(more=b',"foo":1'), 200 if ignores else 400)
    yield "P41 byte order mark", Case(path, b"\xef\xbb\xbf" + good, 400)
    yield "P53 something behind the end", Case(path, good + b" x", 400)
    packed = {**_JSON, "content-encoding": "gzip"}
    yield "gzip", Case(path, gzip.compress(good), 200, packed)
    yield "H3 no gzip", Case(path, good, 400, packed)
    yield "H3 gzip cut off", Case(path, gzip.compress(good)[:-9], 400, packed)
    yield "H3 gzip and more", Case(path, gzip.compress(good) + b"x", 400, packed)
    yield "H3 a bomb", Case(path, gzip.compress(form.body(b" " * 20 * _MOST)), 413, packed)
    yield "H3 gzip of nothing", Case(path, gzip.compress(b""), 400, packed)
    yield "H3 gzip in gzip", Case(path, gzip.compress(gzip.compress(good)), 400, packed)
    yield "H3 br", Case(path, good, 415, {**_JSON, "content-encoding": "br"})
    own = path.startswith("/models/")  # all others take JSON without a type
    yield "H1 no type", Case(path, good, 415 if own else 200, {})
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
        yield f"H1 {kind}", Case(path, good, 415, {"content-type": kind})
    for epoch, status in (("1", 200), ("x", 400), ("-1", 400), ("9" * 18, 503), ("9" * 19, 400)):
        yield f"X-Min-Epoch {epoch}", Case(path, good, status, {**_JSON, "x-min-epoch": epoch})
    for identifier in ("a\tb", "x" * 10_240):
        headers = {**_JSON, "x-request-id": identifier}
        yield f"H20 an id of {len(identifier)}", Case(path, good, 200, headers)


_TAIL = struct.pack("<4d", *ROW)


def _of_binary() -> Iterator[tuple[str, Case]]:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP64"}

    def case(
        changes: Mapping[str, Any], size: object, tail: bytes, status: int = 400, lie: int = 0
    ) -> Case:
        about = {**tensor, "parameters": {"binary_data_size": size}, **changes}
        head = json.dumps({"inputs": [about]}).encode()
        headers = {**_BYTES, HEAD: str(len(head) + lie)}
        return Case("/v2/models/iris/infer", head + tail, status, headers)

    yield "good", case({}, 32, _TAIL, 200)
    yield "FP32", case({"datatype": "FP32"}, 16, struct.pack("<4f", *ROW), 200)
    for number in ("nan", "inf", "-inf"):
        yield number, case({}, 32, struct.pack("<4d", float(number), *ROW[1:]))
    yield "P3 cut off", case({}, 32, _TAIL[:-1])
    yield "more bytes", case({}, 32, _TAIL + b"\0")
    for size in (31, 33, -32, 32.0, "32", True, None, 2**63, 2**64, 1e300):
        yield f"binary_data_size {size}", case({}, size, _TAIL)
    for lie in (-1, 1, -50, 32, 33, 10**11):
        yield f"a header length {lie} off", case({}, 32, _TAIL, lie=lie)
    shapes: list[list[Any]] = [
        *(
            [],
            [4],
            [1, 4, 1],
            [2, 2],
            [0, 4],
            [4, 0],
            [1, -4],
            [-1, 4],
            [1.5, 4],
            [1.0, 4.0],
            ["1", 4],
        ),
        *([True, 4], [None], [[1, 4]], [2**31, 2**31], [2**63], [2**31] * 500, [1] * 100_000),
    ]
    for shape in shapes:
        yield f"shape {str(shape)[:24]} of {len(shape)}", case({"shape": shape}, 32, _TAIL)
    for datatype in ("FP16", "INT8", "BOOL", "BYTES", "BF16", "fp64", "", "F" * 100_000, 8):
        yield f"datatype {str(datatype)[:9]}", case({"datatype": datatype}, 32, _TAIL)
    yield "P32 10001 rows", case({"shape": [10_001, 4]}, 320_032, _TAIL * 10_001, 413)
    yield "P33 over 8 MiB", case({"shape": [2**18, 4]}, _MOST, _TAIL * 2**18, 413)
    yield "a name of 60000", case({"name": "n" * 60_000, "shape": [4]}, 32, _TAIL)
    yield "a name that is none", case({"name": 1}, 32, _TAIL)
    yield "data besides", case({"data": ROW}, 32, _TAIL)
    many = [{**tensor, "name": str(at), "shape": [1], "data": [1]} for at in range(10_000)]
    path = "/v2/models/iris/infer"
    yield "10000 inputs", Case(path, json.dumps({"inputs": many}).encode(), 400)
    outputs = {"inputs": [{**tensor, "data": ROW}], "outputs": [{"name": "predict"}] * 10_000}
    yield "10000 outputs", Case(path, json.dumps(outputs).encode(), 400)
    for length in ("", "x", "-1", "+5", "1e2", "٣", "9" * 13, "0x10", "1, 2"):
        headers = {**_BYTES, HEAD: length}
        yield f"a header length {length!r}", Case(path, _TAIL, 400, headers)
    yield "raw", Case(path, _TAIL, 200, {**_BYTES, HEAD: "0"})
    yield "raw and more", Case(path, _TAIL + b"\0", 400, {**_BYTES, HEAD: "0"})


_LINE = ",".join(map(str, ROW)).encode() + b"\n"
_HEADER = ",".join(f'"{name}"' for name in NAMES).encode() + b"\n"

_FILES: Mapping[str, tuple[bytes, int]] = {
    "good": (_HEADER + _LINE, 200),
    "P1 empty body": (b"", 400),
    "P2 a word": (b"hello", 400),
    "P16 no rows": (_HEADER, 400),
    "P18 a value too few": (_HEADER + b"1,2,3\n", 400),
    "P18 a value too many": (_HEADER + b"1,2,3,4,5\n", 400),
    "P6 infinity": (_HEADER + b"inf,1,1,1\n", 400),
    "P14 a missing value": (_HEADER + b",1,1,1\n", 400),
    "P35 a column twice": (b"a,a,b,c\n1,2,3,4\n", 400),
    "P39 invalid UTF-8": (_HEADER + b"\xff,1,1,1\n", 400),
    "P49 a feature missing": (b"a,b\n1,2\n", 400),
    "T41 gzip": (gzip.compress(_HEADER + _LINE), 415),
}
