"""`/outcomes` of a file: its rows with their labels count as the same rows do in JSON."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.churn import INSTANCES, ROWS, told
from tests.support.columnar import encoded
from tests.support.fakes import FakeRegistry
from tests.support.server import Client


@pytest.mark.parametrize("media", ["csv", "parquet", "arrow"])
def test_a_file_counts_as_the_same_rows_in_json(client: Client, media: str) -> None:
    body, kind = encoded(ROWS, media)
    half, _ = encoded(ROWS[:100], media)

    response = client.post(
        "/outcomes?name=churn&version=1", content=body, headers={"content-type": kind}
    )
    assert response.status_code == 200, response.text
    again = told(client)["outcomes"]
    client.post("/outcomes?version=1", content=half, headers={"content-type": kind})

    once = response.json()["outcomes"]
    assert again["confusion"] == [[2 * cell for cell in row] for row in once["confusion"]]
    assert again["brier"] == pytest.approx(once["brier"])
    assert client.get("/outcomes").json()["outcomes"][0]["rows"] == 500


def test_the_same_key_at_one_time_counts_once(client: Client, registry: FakeRegistry) -> None:
    registry.receipts.clear()
    body, kind = encoded(ROWS[:10], "csv")
    headers = {"content-type": kind, "idempotency-key": "twice"}

    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(
                lambda _: client.post("/outcomes?version=1", content=body, headers=headers),
                range(6),
            )
        )

    assert {reply.status_code for reply in replies} == {200}
    assert client.get("/outcomes").json()["outcomes"][0]["rows"] == 10


@pytest.mark.parametrize("media", ["csv", "parquet", "arrow"])
def test_wrong_rows_and_labels_of_a_file_are_all_told(
    client: Client, registry: FakeRegistry, media: str
) -> None:
    rows = [{**ROWS[0], "city": "Lima"}, {**ROWS[1], "churned": "maybe"}, *ROWS[2:]]
    body, kind = encoded(rows, media)

    response = client.post("/outcomes?version=1", content=body, headers={"content-type": kind})

    assert response.status_code == 400
    pointers = [one["pointer"] for one in response.json()["errors"]]
    assert pointers == ["/instances/0/city", "/instances/1/churned"]
    assert not registry.outcomes


def test_a_file_without_the_column_of_the_target_is_refused(client: Client) -> None:
    body, kind = encoded(INSTANCES, "csv")

    response = client.post("/outcomes?version=1", content=body, headers={"content-type": kind})

    assert response.status_code == 400
    assert "has no column 'churned'" in response.json()["detail"]


def test_a_file_needs_its_version_in_the_query_and_json_in_the_body(client: Client) -> None:
    body, kind = encoded(ROWS, "csv")

    missing = client.post("/outcomes", content=body, headers={"content-type": kind})
    twice = client.post("/outcomes?version=1", json={})

    assert (missing.status_code, twice.status_code) == (400, 400)
    assert "?version=7" in missing.json()["detail"]
    assert "in the body" in twice.json()["detail"]
