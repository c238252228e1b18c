"""The corpus of bad input: what each gets, and that the service answers as before afterwards."""

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.support.server import Client

GOOD = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}


def _cell(value: str) -> bytes:
    return b'{"instances": [[%s, 3.5, 1.4, 0.2]]}' % value.encode()


def _instances(count: int) -> bytes:
    return json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]] * count}).encode()


PREDICT: dict[str, tuple[bytes, int]] = {
    "P1 empty body": (b"", 400),
    "P2 no JSON": (b"hello", 400),
    "P3 cut off": (b'{"instances":[[1,2', 400),
    "P6 NaN literal": (_cell("NaN"), 400),
    "P6 Infinity literal": (_cell("-Infinity"), 400),
    "P9 beyond float64": (_cell("1e400"), 400),
    "P11 NaN as text": (_cell('"NaN"'), 400),
    "P13 true for a number": (_cell("true"), 400),
    "P13 text for a number": (_cell('"1"'), 400),
    "P14 null": (_cell("null"), 400),
    "P16 no instances": (b'{"instances": []}', 400),
    "P18 three values": (b'{"instances": [[1, 2, 3]]}', 400),
    "P18 five values": (b'{"instances": [[1, 2, 3, 4, 5]]}', 400),
    "P21 values without an instance": (b'{"instances": [1, 2, 3, 4]}', 400),
    "P26 integer of 5000 digits": (_cell("9" * 5000), 400),
    "P28 smallest number": (_cell("5e-324"), 200),
    "P28 minus zero": (_cell("-0.0"), 200),
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
    "P46 text of 7 MiB": (_cell(json.dumps("x" * 7 * 2**20)), 400),
    "P46 key of 7 MiB": (b'{"instances": [{"%s": 1}]}' % (b"k" * 7 * 2**20), 400),
    "P47 a cell is an object": (_cell("{}"), 400),
    "P47 a cell is a list": (_cell("[1]"), 400),
    "P49 a feature missing": (json.dumps({"instances": [{"sepal length (cm)": 1}]}).encode(), 400),
    "P50 objects and arrays mixed": (json.dumps({"instances": [GOOD, [1, 2, 3, 4]]}).encode(), 400),
    "P52 probabilities is no boolean": (b'{"instances":[[1,2,3,4]],"probabilities":1}', 400),
    "P53 something after the end": (_instances(1) + b" x", 400),
    "P54 unterminated string with quotes": (b'{"instances": "' + b'\\"' * 500_000, 400),
}


@pytest.mark.parametrize("case", PREDICT)
def test_predict_answers_bad_input_with_its_code(client: Client, case: str) -> None:
    body, status = PREDICT[case]

    response = client.predict(body)

    assert response.status_code == status, response.text
    _check(response, body)
    assert client.predict({"instances": [GOOD]}).json()["predictions"] == ["setosa"]


def test_p23_huge_numbers_give_no_nan(client: Client) -> None:
    response = client.predict(_cell("1e308")[:-1] + b', "probabilities": true}')

    assert response.status_code in (200, 400)
    assert "NaN" not in response.text
    assert "null" not in response.text


def test_p44_a_listed_problem_never_makes_the_reply_large(client: Client) -> None:
    instance = {f"{'é' * 60}{index}": "ü" * 1000 for index in range(100)}

    response = client.predict({"instances": [instance] * 5})

    problem = response.json()
    del problem["example"], problem["expected"]
    assert len(json.dumps(problem, ensure_ascii=False).encode()) <= 4096
    assert problem["errors"]


INLINE = {"columns": ["a", "b", "y"], "rows": [[i, i % 3, "uv"[i % 2]] for i in range(40)]}


def _train(**changes: object) -> dict[str, object]:
    body = {"name": "bad", "model_type": "LogisticRegression", "dataset": INLINE, "target": "y"}
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def _rows(rows: list[list[object]], columns: list[str] | None = None) -> dict[str, object]:
    return {"columns": columns or ["a", "y"], "rows": rows}


TRAIN: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "T1 unknown type": (_train(model_type="Foo"), (400,)),
    "T3 dotted path": (_train(model_type="sklearn.svm.SVC"), (400,)),
    "T4 a regressor": (_train(model_type="LinearRegression"), (400,)),
    "T5 type is a number": (_train(model_type=3), (400,)),
    "T7 unknown parameter": (_train(params={"foo": 1}), (400,)),
    "T8 C below zero": (_train(params={"C": -1}), (400,)),
    "T9 C is a text": (_train(params={"C": "1"}), (400,)),
    "T11 a billion trees": (
        _train(model_type="RandomForestClassifier", params={"n_estimators": 1_000_000_000}),
        (400,),
    ),
    "T13 endless iterations": (_train(params={"max_iter": 1_000_000_000_000}), (400,)),
    "T15 verbose": (_train(params={"verbose": 3}), (400,)),
    "T15 warm_start": (_train(params={"warm_start": True}), (400,)),
    "T17 estimator": (_train(model_type="AdaBoostClassifier", params={"estimator": {}}), (400,)),
    "T20 seed": (_train(seed=-1), (400,)),
    "T20 random_state": (_train(params={"random_state": -1}), (400,)),
    "T21 no rows": (_train(dataset=_rows([])), (400,)),
    "T23 one class": (_train(dataset=_rows([[i, "u"] for i in range(20)])), (400,)),
    "T25 every label unique": (_train(dataset=_rows([[i, f"l{i}"] for i in range(50)])), (400,)),
    "T25 1001 classes": (_train(dataset=_rows([[i, f"l{i % 1001}"] for i in range(4004)])), (400,)),
    "T26 missing values without preprocessing": (
        _train(dataset=_rows([[None, "u"], [1, "v"]] * 20), preprocessing="none"),
        (400,),
    ),
    "T28 target is no column": (_train(target="z"), (400,)),
    "T30 two columns of one name": (
        _train(dataset=_rows([[1, 2, "u"], [1, 2, "v"]] * 9, ["a", "a", "y"])),
        (400,),
    ),
    "T31 10001 columns": (
        _train(dataset={"columns": [f"c{i}" for i in range(10_001)], "rows": [[1] * 10_001]}),
        (413,),
    ),
    "T34 ragged rows": (_train(dataset=_rows([[1, "u"], [1]] * 9)), (400,)),
    "T36 a column mixes kinds": (_train(dataset=_rows([[1, "u"], ["x", "v"]] * 9)), (400,)),
    "T45 dataset_url": (
        _train(dataset=..., dataset_url="http://169.254.169.254/latest/meta-data"),
        (400,),
    ),
    "T46 file": (_train(dataset="file:///etc/passwd"), (400, 404)),
    "T48 s3": (_train(dataset="s3://other-bucket/x"), (400, 404)),
    "T49 https": (_train(dataset="https://example.org/x.csv"), (400, 404)),
    "T50 unknown data set": (_train(dataset="nobody-uploaded-this"), (404,)),
    "T51 name climbs": (_train(name="../../x"), (400,)),
    "T51 name with a dot": (_train(name="a.b"), (400,)),
    "T52 name of the log of use": (_train(name="in-use"), (400,)),
    "T59 test_size 0": (_train(test_size=0), (400,)),
    "T59 test_size 1": (_train(test_size=1), (400,)),
    "T59 test_size 2": (_train(test_size=2), (400,)),
    "T60 two rows of a class, five folds": (
        _train(dataset=_rows([[i, "u"] for i in range(30)] + [[1, "v"], [2, "v"]]), cv=5),
        (400,),
    ),
    "T61 wait too long": (_train(wait=301), (400,)),
    "T62 unknown key": (_train(modle_type="SVC"), (400,)),
    "T63 no data": (_train(dataset=...), (400,)),
    "T64 dates as text": (
        _train(dataset=_rows([[f"2024-01-{i % 28 + 1:02}", "uv"[i % 2]] for i in range(40)])),
        (400,),
    ),
}


@pytest.mark.parametrize("case", TRAIN)
def test_train_answers_bad_input_with_its_code(client: Client, case: str) -> None:
    body, statuses = TRAIN[case]
    before = client.get("/models").json()["models"]

    response = client.post("/train", json=body)

    assert response.status_code in statuses, response.text
    _check(response, json.dumps(body).encode())
    assert client.get("/models").json()["models"] == before


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


@pytest.mark.parametrize("case", RAW_TRAIN)
def test_train_answers_bad_bytes_with_its_code(client: Client, case: str) -> None:
    body, kind, status = RAW_TRAIN[case]

    response = client.post("/train", content=body, headers={"content-type": kind})

    assert response.status_code == status, response.text
    _check(response, body)


def test_t32_a_body_over_the_limit_is_413(client: Client) -> None:
    body = b" " * (64 * 2**20 + 1)

    response = client.post("/train", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 413
    _check(response, b"")


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


@pytest.mark.parametrize("case", CSV)
def test_a_csv_file_gets_its_code(client: Client, case: str) -> None:
    data, statuses = CSV[case]
    fields = {"name": "csv", "model_type": "GaussianNB", "target": "y"}

    response = client.post("/train", data=fields, files={"file": ("rows.csv", data)})

    assert response.status_code in statuses, response.text
    if response.status_code >= 400:
        _check(response, data)


def test_t54_an_idempotency_key_with_another_body_is_409(client: Client) -> None:
    headers = {"idempotency-key": "t54"}
    first = client.post("/train", json=_train(name="once"), headers=headers)

    again = client.post("/train", json=_train(name="once"), headers=headers)
    other = client.post("/train", json=_train(name="twice"), headers=headers)

    assert first.status_code == again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 409
    _check(other, b"")


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
    "U11 no name": (b"{}", (400,)),
    "U12 unknown key": (b'{"name": "iris", "verison": 1}', (400,)),
    "U17 version twice": (b'{"name": "iris", "version": 1, "version": 1}', (400,)),
}


@pytest.mark.parametrize("case", USE)
def test_use_model_answers_bad_input_with_its_code(client: Client, case: str) -> None:
    body, statuses = USE[case]
    before = client.get("/use-model").json()

    response = client.post("/use-model", content=body, headers={"content-type": "application/json"})

    assert response.status_code in statuses, response.text
    _check(response, body)
    assert client.get("/use-model").json() == before


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
        415,
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


@pytest.mark.parametrize("case", ROUTES)
def test_routes_answer_bad_requests_with_their_code(client: Client, case: str) -> None:
    method, path, headers, status = ROUTES[case]
    url = httpx.URL(f"{client.base_url}").copy_with(raw_path=path.encode())

    response = client.request(method, url, headers=headers, content=b"{}" if headers else None)

    assert response.status_code == status, response.text
    _check(response, b"")
    assert status != 405 or response.headers["allow"] == "POST"


def test_h20_a_mad_request_id_is_replaced(client: Client) -> None:
    for sent in ("a\tb", "x" * 10_240):
        response = client.predict({"instances": [GOOD]}, **{"x-request-id": sent})

        assert response.status_code == 200
        assert len(response.headers["x-request-id"]) == 32


def _check(response: httpx.Response, sent: bytes) -> None:
    """Check what every refusal has to be."""
    if response.status_code < 400:
        return
    problem: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("/problems/")
    assert problem["title"]
    assert problem["detail"].endswith((".", "?", "…"))
    assert response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert "site-packages" not in response.text
    for item in problem.get("errors", []):
        assert set(item) == {"pointer", "message"}
    extra = ("example", "expected")
    shown = json.dumps({k: v for k, v in problem.items() if k not in extra}, ensure_ascii=False)
    assert len(shown.encode()) <= 4096
    assert sent[20:100].decode("latin-1") not in shown or len(sent) <= 100
    if response.status_code in (429, 503):
        assert response.headers["retry-after"].isdigit()
