"""The corpus of bad input under load: each case has its status, and no prediction fails."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.bad_input import CSV, GOOD, PREDICT, RAW_TRAIN, ROUTES, TRAIN, USE
from tests.support.server import Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

CONNECTIONS = 4
ROW = {"instances": [GOOD]}
ROWS = {"instances": [GOOD] * 50, "probabilities": True}
JSON = {"content-type": "application/json"}


@contextmanager
def predictions(client: Client) -> Iterator[None]:
    """Predict on several connections while the block runs; fail if any prediction failed."""
    ended, wrong = threading.Event(), []
    counts = [0] * CONNECTIONS

    def predict(at: int) -> None:
        body = (ROW, ROWS)[at % 2]
        rows = len(body["instances"])  # type: ignore[arg-type]
        with Client(base_url=client.base_url, timeout=60) as own:
            while not ended.is_set():
                response = own.predict(body)
                if response.json().get("predictions") != ["setosa"] * rows:
                    wrong.append(response.text)
                    return
                counts[at] += 1

    threads = [threading.Thread(target=predict, args=(at,)) for at in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(counts) > 0 or wrong)
        before = list(counts)
        yield
        wait_until(lambda: wrong or all(a > b for a, b in zip(counts, before, strict=True)))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def _predict(client: Client) -> Iterator[tuple[str, httpx.Response, tuple[int, ...]]]:
    for case, (body, status) in PREDICT.items():
        yield case, client.predict(body), (status,)


def _train(client: Client) -> Iterator[tuple[str, httpx.Response, tuple[int, ...]]]:
    for case, (body, statuses) in TRAIN.items():
        yield case, client.post("/train", json=body), statuses
    for case, (content, kind, status) in RAW_TRAIN.items():
        headers = {"content-type": kind}
        yield case, client.post("/train", content=content, headers=headers), (status,)


def _csv(client: Client) -> Iterator[tuple[str, httpx.Response, tuple[int, ...]]]:
    fields = {"name": "csv", "model_type": "GaussianNB", "target": "y", "use": "false"}
    for case, (data, statuses) in CSV.items():
        files = {"file": ("rows.csv", data)}
        yield case, client.post("/train", data=fields, files=files), statuses


def _use(client: Client) -> Iterator[tuple[str, httpx.Response, tuple[int, ...]]]:
    for case, (body, statuses) in USE.items():
        yield case, client.post("/use-model", content=body, headers=JSON), statuses


def _routes(client: Client) -> Iterator[tuple[str, httpx.Response, tuple[int, ...]]]:
    for case, (method, path, headers, status) in ROUTES.items():
        url = httpx.URL(f"{client.base_url}").copy_with(raw_path=path.encode())
        content = json.dumps({}).encode() if headers else None
        yield case, client.request(method, url, headers=headers, content=content), (status,)


@pytest.mark.parametrize("send", [_predict, _train, _csv, _use, _routes])
def test_bad_input_has_its_code_under_load_and_no_prediction_fails(
    client: Client, send: object
) -> None:
    assert callable(send)

    with predictions(client):
        found = {case: (response.status_code, codes) for case, response, codes in send(client)}

    assert {case: told for case, told in found.items() if told[0] not in told[1]} == {}
    assert found
