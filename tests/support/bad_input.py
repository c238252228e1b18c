"""A corpus of bad input with the expected error code of each case."""

import gzip
import json

GOOD = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}


def row_with(value: str) -> bytes:
    return b'{"instances": [[%s, 3.5, 1.4, 0.2]]}' % value.encode()


def _instances(count: int) -> bytes:
    return json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]] * count}).encode()


PREDICT: dict[str, tuple[bytes, int]] = {
    "P1 empty body": (b"", 400),
    "P2 no JSON": (b"hello", 400),
    "P3 cut off": (b'{"instances":[[1,2', 400),
    "P6 NaN literal": (row_with("NaN"), 400),
    "P6 Infinity literal": (row_with("-Infinity"), 400),
    "P9 beyond float64": (row_with("1e400"), 400),
    "P11 NaN as text": (row_with('"NaN"'), 400),
    "P13 true for a number": (row_with("true"), 400),
    "P13 text for a number": (row_with('"1"'), 400),
    "P14 null": (row_with("null"), 400),
    "P16 no instances": (b'{"instances": []}', 400),
    "P18 three values": (b'{"instances": [[1, 2, 3]]}', 400),
    "P18 five values": (b'{"instances": [[1, 2, 3, 4, 5]]}', 400),
    "P21 values without an instance": (b'{"instances": [1, 2, 3, 4]}', 400),
    "P26 integer of 5000 digits": (row_with("9" * 5000), 400),
    "P28 smallest number": (row_with("5e-324"), 200),
    "P28 minus zero": (row_with("-0.0"), 200),
    "P29 depth 33": (b"[" * 33 + b"]" * 33, 400),
    "P31 depth 100000": (b"[" * 100_000, 400),
    "P32 10001 rows": (_instances(10_001), 413),
    "P32 10000 rows": (_instances(10_000), 200),
    "P33 over 8 MiB": (b'{"instances": [[1' + b" " * 8 * 2**20 + b"]]}", 413),
    "P35 instances twice": (b'{"instances": [[1,2,3,4]], "instances": [[1,2,3,4]]}', 400),
    "P35 a feature twice": (
        json.dumps({"instances": [GOOD]})
        .replace("{", '{"petal width (cm)": 1, ', 2)
        .replace('{"petal width (cm)": 1, ', "{", 1)
        .encode(),
        400,
    ),
    "P36 unknown key": (b'{"instances": [[1,2,3,4]], "foo": 1}', 400),
    "P37 empty object": (b"{}", 400),
    "P37 a list": (b"[]", 400),
    "P37 null": (b"null", 400),
    "P39 invalid UTF-8": (b'{"instances": [{"\xff": 1}]}', 400),
    "P39 lone surrogate": (b'{"instances": [{"\\ud800": 1}]}', 400),
    "P41 byte order mark": (b"\xef\xbb\xbf" + _instances(1), 400),
    "P41 UTF-16": (_instances(1).decode().encode("utf-16"), 400),
    "P43 NUL in a key": (b'{"instances": [{"a\\u0000": 1}]}', 400),
    "P46 text of 7 MiB": (row_with(json.dumps("x" * 7 * 2**20)), 400),
    "P46 key of 7 MiB": (b'{"instances": [{"%s": 1}]}' % (b"k" * 7 * 2**20), 400),
    "P47 a cell is an object": (row_with("{}"), 400),
    "P47 a cell is a list": (row_with("[1]"), 400),
    "P49 a feature missing": (json.dumps({"instances": [{"sepal length (cm)": 1}]}).encode(), 400),
    "P50 objects and arrays mixed": (json.dumps({"instances": [GOOD, [1, 2, 3, 4]]}).encode(), 400),
    "P52 probabilities is no boolean": (b'{"instances":[[1,2,3,4]],"probabilities":1}', 400),
    "P53 something after the end": (_instances(1) + b" x", 400),
    "P54 unterminated string with quotes": (b'{"instances": "' + b'\\"' * 500_000, 400),
}


INLINE = {"columns": ["a", "b", "y"], "rows": [[i, i % 3, "uv"[i % 2]] for i in range(40)]}


def training(**changes: object) -> dict[str, object]:
    body = {"name": "bad", "model_type": "LogisticRegression", "dataset": INLINE, "target": "y"}
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def _rows(rows: list[list[object]], columns: list[str] | None = None) -> dict[str, object]:
    return {"columns": columns or ["a", "y"], "rows": rows}


TRAIN: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "T1 unknown type": (training(model_type="Foo"), (400,)),
    "T3 dotted path": (training(model_type="sklearn.svm.SVC"), (400,)),
    "T4 a regressor": (training(model_type="LinearRegression"), (400,)),
    "T5 type is a number": (training(model_type=3), (400,)),
    "T7 unknown parameter": (training(params={"foo": 1}), (400,)),
    "T8 C below zero": (training(params={"C": -1}), (400,)),
    "T9 C is a text": (training(params={"C": "1"}), (400,)),
    "T11 a billion trees": (
        training(model_type="RandomForestClassifier", params={"n_estimators": 1_000_000_000}),
        (400,),
    ),
    "T13 endless iterations": (training(params={"max_iter": 1_000_000_000_000}), (400,)),
    "T15 verbose": (training(params={"verbose": 3}), (400,)),
    "T15 warm_start": (training(params={"warm_start": True}), (400,)),
    "T17 estimator": (training(model_type="AdaBoostClassifier", params={"estimator": {}}), (400,)),
    "T20 seed": (training(seed=-1), (400,)),
    "T20 random_state": (training(params={"random_state": -1}), (400,)),
    "T21 no rows": (training(dataset=_rows([])), (400,)),
    "T23 one class": (training(dataset=_rows([[i, "u"] for i in range(20)])), (400,)),
    "T25 every label unique": (training(dataset=_rows([[i, f"l{i}"] for i in range(50)])), (400,)),
    "T25 1001 classes": (
        training(dataset=_rows([[i, f"l{i % 1001}"] for i in range(4004)])),
        (400,),
    ),
    "T26 missing values without preprocessing": (
        training(dataset=_rows([[None, "u"], [1, "v"]] * 20), preprocessing="none"),
        (400,),
    ),
    "T28 target is no column": (training(target="z"), (400,)),
    "T30 two columns of one name": (
        training(dataset=_rows([[1, 2, "u"], [1, 2, "v"]] * 9, ["a", "a", "y"])),
        (400,),
    ),
    "T31 10001 columns": (
        training(dataset={"columns": [f"c{i}" for i in range(10_001)], "rows": [[1] * 10_001]}),
        (413,),
    ),
    "T34 ragged rows": (training(dataset=_rows([[1, "u"], [1]] * 9)), (400,)),
    "T36 a column mixes kinds": (training(dataset=_rows([[1, "u"], ["x", "v"]] * 9)), (400,)),
    "T45 dataset_url": (
        training(dataset=..., dataset_url="http://169.254.169.254/latest/meta-data"),
        (400,),
    ),
    "T46 file": (training(dataset="file:///etc/passwd"), (400, 404)),
    "T48 s3": (training(dataset="s3://other-bucket/x"), (400, 404)),
    "T49 https": (training(dataset="https://example.org/x.csv"), (400, 404)),
    "T50 unknown data set": (training(dataset="nobody-uploaded-this"), (404,)),
    "T51 name climbs": (training(name="../../x"), (400,)),
    "T51 name with a dot": (training(name="a.b"), (400,)),
    "T52 name of the log of use": (training(name="in-use"), (400,)),
    "T59 test_size 0": (training(test_size=0), (400,)),
    "T59 test_size 1": (training(test_size=1), (400,)),
    "T59 test_size 2": (training(test_size=2), (400,)),
    "T60 two rows of a class, five folds": (
        training(dataset=_rows([[i, "u"] for i in range(30)] + [[1, "v"], [2, "v"]]), cv=5),
        (400,),
    ),
    "T61 wait too long": (training(wait=301), (400,)),
    "T62 unknown key": (training(modle_type="SVC"), (400,)),
    "T63 no data": (training(dataset=...), (400,)),
    "T64 dates as text": (
        training(dataset=_rows([[f"2024-01-{i % 28 + 1:02}", "uv"[i % 2]] for i in range(40)])),
        (400,),
    ),
}


RAW_TRAIN: dict[str, tuple[bytes, str, int]] = {
    "empty body": (b"", "application/json", 400),
    "no JSON": (b"hello", "application/json", 400),
    "a key twice": (b'{"name": "a", "name": "b", "dataset": "iris"}', "application/json", 400),
    "T59 test_size NaN": (b'{"dataset": "iris", "test_size": NaN}', "application/json", 400),
    "T57 no boundary": (b"--x\r\n\r\n--x--", "multipart/form-data", 400),
    "T57 cut off": (
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,y\n1,u\n',
        "multipart/form-data; boundary=x",
        400,
    ),
    "T56 1001 parts": (
        b"".join(
            b'--x\r\ncontent-disposition: form-data; name="f%d"\r\n\r\n1\r\n' % i
            for i in range(1001)
        )
        + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        400,
    ),
    "plain text": (b"{}", "text/plain", 415),
}


CSV: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "T35 fewer fields": (b"a,b,y\n1,2,u\n3,v\n" * 1, (400,)),
    "T35 more fields": (b"a,b,y\n1,2,u\n3,4,v,5\n", (400,)),
    "T37 Latin-1": ("a,y\né,u\nè,v\n".encode("latin-1"), (400,)),
    "T38 CRLF": (b"a,y\r\n" + b"1,u\r\n2,v\r\n" * 20, (201, 202)),
    "T38 CR": (b"a,y\r" + b"1,u\r2,v\r" * 20, (201, 202)),
    "T38 mixed": (b"a,y\n" + b"1,u\r\n2,v\n" * 20, (201, 202)),
    "T39 byte order mark": (b"\xef\xbb\xbfa,y\n" + b"1,u\n2,v\n" * 20, (201, 202)),
    "T41 gzip": (gzip.compress(b"a,y\n1,u\n2,v\n"), (415,)),
    "T42 infinity": (b"a,y\n" + b"inf,u\n2,v\n" * 20, (400,)),
    "T43 header only": (b"a,y\n", (400,)),
    "T44 empty": (b"", (400,)),
    "T30 two columns of one name": (b"a,a,y\n1,2,u\n3,4,v\n", (400,)),
}


USE: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "U1 unknown name": (b'{"name": "nobody", "version": 1}', (404,)),
    "U1 unknown name, newest": (b'{"name": "nobody"}', (404,)),
    "U1 a name that is a folder": (b'{"name": "."}', (400,)),
    "U1 a name that is the folder above": (b'{"name": "..", "version": 1}', (400,)),
    "U2 unknown version": (b'{"name": "iris", "version": 99}', (404,)),
    "U3 version 0": (b'{"name": "iris", "version": 0}', (400,)),
    "U3 version -1": (b'{"name": "iris", "version": -1}', (400,)),
    "U4 version true": (b'{"name": "iris", "version": true}', (400,)),
    "U4 version 1.0": (b'{"name": "iris", "version": 1.0}', (400,)),
    "U4 version text": (b'{"name": "iris", "version": "1"}', (400,)),
    "U5 version of 30 digits": (b'{"name": "iris", "version": %s}' % (b"9" * 30), (400,)),
    "U6 NaN": (b'{"name": "iris", "version": NaN}', (400,)),
    "U7 a URI": (b'{"name": "models:/x/1"}', (400, 404)),
    "U8 the log of use": (b'{"name": "in-use", "version": 1}', (404,)),
    "U9 unknown alias": (b'{"name": "iris", "alias": "best"}', (404,)),
    "U10 version and alias": (b'{"name": "iris", "version": 1, "alias": "x"}', (400,)),
    "U10 follow without alias": (b'{"name": "iris", "follow": true}', (400,)),
    "U10 follow a version": (b'{"name": "iris", "version": 1, "follow": true}', (400,)),
    "U9 follow unknown alias": (b'{"name": "iris", "alias": "best", "follow": true}', (404,)),
    "U11 no name": (b"{}", (400,)),
    "U12 unknown key": (b'{"name": "iris", "verison": 1}', (400,)),
    "U17 version twice": (b'{"name": "iris", "version": 1, "version": 1}', (400,)),
}


ROUTES: dict[str, tuple[str, str, dict[str, str], int]] = {
    "U18 limit -1": ("GET", "/models?limit=-1", {}, 400),
    "U18 limit huge": ("GET", "/models?limit=1000000000", {}, 400),
    "U18 limit abc": ("GET", "/models?limit=abc", {}, 400),
    "U18 limit of trainings": ("GET", "/trainings?limit=0", {}, 400),
    "U19 page token": ("GET", "/models?page_token=junk!", {}, 400),
    "U19 unknown parameter": ("GET", "/models?nmae=iris", {}, 400),
    "U20 path climbs": ("GET", "/models/..%2f..%2fetc", {}, 404),
    "U21 version is no number": ("GET", "/models/iris/versions/one", {}, 404),
    "U21 ill-formed name": ("GET", "/models/a%20b/versions/1", {}, 404),
    "U22 unknown route": ("GET", "/predictions", {}, 404),
    "U22 trailing slash": ("GET", "/models/", {}, 404),
    "U22 trailing line break": ("POST", "/predict%0A", {}, 404),
    "U22 trailing line break, a version": (
        "POST",
        "/models/iris/versions/1/predict%0A",
        {},
        404,
    ),
    "U23 unknown training": ("GET", "/trainings/" + "0" * 32, {}, 404),
    "U23 ill-formed training": ("GET", "/trainings/x", {}, 404),
    "U24 unknown data set": ("GET", "/datasets/nobody", {}, 404),
    "U25 unknown model type": ("GET", "/model-types/Foo", {}, 404),
    "U26 delete a built-in data set": ("DELETE", "/datasets/iris", {}, 409),
    "U27 delete the version in use": ("DELETE", "/models/iris/versions/1", {}, 409),
    "H1 plain text": ("POST", "/predict", {"content-type": "text/plain"}, 415),
    "H1 XML": ("POST", "/predict", {"content-type": "application/xml"}, 415),
    "H1 form": ("POST", "/predict", {"content-type": "application/x-www-form-urlencoded"}, 415),
    "H1 none": ("POST", "/predict", {}, 415),
    "JSON in Latin-1": (
        "POST",
        "/predict",
        {"content-type": "application/json; charset=latin-1"},
        415,
    ),
    "JSON in UTF-16": (
        "POST",
        "/use-model",
        {"content-type": 'application/json;charset="UTF-16"'},
        415,
    ),
    "H3 gzip": (
        "POST",
        "/predict",
        {"content-type": "application/json", "content-encoding": "gzip"},
        400,
    ),
    "H3 br": (
        "POST",
        "/use-model",
        {"content-type": "application/json", "content-encoding": "br"},
        415,
    ),
    "H4 PATCH": ("PATCH", "/predict", {}, 405),
    "H4 DELETE": ("DELETE", "/predict", {}, 405),
    "H4 TRACE": ("TRACE", "/predict", {}, 405),
    "H4 GET": ("GET", "/predict", {}, 405),
}
