"""The corpus of bad input: the status of each case, and that the service still works afterwards."""

import json
from typing import Any

import httpx
import pytest

from tests.support.bad_input import (
    CSV,
    GOOD,
    PREDICT,
    RAW_TRAIN,
    ROUTES,
    TRAIN,
    USE,
    row_with,
    training,
)
from tests.support.server import Client


@pytest.mark.parametrize("case", PREDICT)
def test_predict_answers_bad_input_with_its_code(client: Client, case: str) -> None:
    body, status = PREDICT[case]

    response = client.predict(body)

    assert response.status_code == status, response.text
    _check(response, body)
    assert client.predict({"instances": [GOOD]}).json()["predictions"] == ["setosa"]


def test_p23_huge_numbers_give_no_nan(client: Client) -> None:
    response = client.predict(row_with("1e308")[:-1] + b', "probabilities": true}')

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


@pytest.mark.parametrize("case", TRAIN)
def test_train_answers_bad_input_with_its_code(client: Client, case: str) -> None:
    body, statuses = TRAIN[case]
    before = client.get("/models").json()["models"]

    response = client.post("/train", json=body)

    assert response.status_code in statuses, response.text
    _check(response, json.dumps(body).encode())
    assert client.get("/models").json()["models"] == before


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
    first = client.post("/train", json=training(name="once"), headers=headers)

    again = client.post("/train", json=training(name="once"), headers=headers)
    other = client.post("/train", json=training(name="twice"), headers=headers)

    assert first.status_code == again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 409
    _check(other, b"")


@pytest.mark.parametrize("case", USE)
def test_use_model_answers_bad_input_with_its_code(client: Client, case: str) -> None:
    body, statuses = USE[case]
    before = client.get("/use-model").json()

    response = client.post("/use-model", content=body, headers={"content-type": "application/json"})

    assert response.status_code in statuses, response.text
    _check(response, body)
    assert client.get("/use-model").json() == before


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
    """Check what holds for every refusal."""
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
