"""What clients send beyond the protocol's text; `make clients` tries the clients themselves."""

import pytest

from tests.support.server import Client

INFER = "/v2/models/iris/infer"
REQUEST = {
    "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}]
}


@pytest.mark.parametrize("name", ["iris", "a: b", None])
def test_a_model_name_in_the_body_is_not_read(client: Client, name: object) -> None:
    expected = client.post(INFER, json=REQUEST).json()

    # KServe's client repeats the model of the URL.
    answer = client.post(INFER, json={**REQUEST, "model_name": name, "model_version": None})
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected


def test_another_key_is_refused(client: Client) -> None:
    answer = client.post(INFER, json={**REQUEST, "output": []})

    assert answer.status_code == 400
    assert "'output'" in answer.json()["error"]


@pytest.mark.parametrize("path", ["index", "models/iris/load"])
def test_json_that_is_called_bytes_is_read_by_the_repository(client: Client, path: str) -> None:
    # aiohttp, which Triton's client uses, gives this type to text.
    headers = {"content-type": "application/octet-stream"}
    answer = client.post(f"/v2/repository/{path}", content=b"{}", headers=headers)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("number", ["1e999999", "-1e400"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_number_out_of_range_is_refused(client: Client, number: str, nested: bool) -> None:
    data = f"[{number}, 1, 1, 1]"
    body = f'{{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": {data}}}'
    if nested:
        body = body.replace(data, f"[{data}]")
    answer = client.post(INFER, content=f'{{"inputs": [{body}]}}'.encode())

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
