"""Bodies in gzip, both ways: what is inflated obeys the limits, and nothing else is read."""

import gzip
import json

import httpx
import pytest

from tests.support.server import Client

ROW = [5.1, 3.5, 1.4, 0.2]
BODY = json.dumps({"instances": [ROW]}).encode()
PACKED = gzip.compress(BODY, mtime=0)
GZIP = {"content-encoding": "gzip"}


def test_a_request_in_gzip_is_answered_like_the_same_request_without(client: Client) -> None:
    plain, packed = client.predict(BODY), client.predict(gzip.compress(BODY), **GZIP)

    assert packed.status_code == 200
    assert packed.content == plain.content


def test_a_file_of_rows_and_a_training_may_come_in_gzip(client: Client) -> None:
    names = [feature["name"] for feature in client.get("/schema").json()["features"]]
    lines = [",".join(map(str, line)) for line in (names, *[ROW] * 1000)]
    csv = gzip.compress("\n".join(lines).encode())
    training = {"name": "packed", "model_type": "GaussianNB", "dataset": "iris", "use": False}

    predicted = client.post("/predict", content=csv, headers={**GZIP, "content-type": "text/csv"})
    trained = client.post(
        "/train",
        content=gzip.compress(json.dumps(training).encode()),
        headers={**GZIP, "content-type": "application/json"},
    )

    assert predicted.json()["predictions"] == ["setosa"] * 1000
    assert trained.status_code == 201


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(BODY, "no gzip", id="plain"),
        pytest.param(PACKED[:-9], "is cut off", id="cut off"),
        pytest.param(PACKED[:5], "is cut off", id="cut off in its head"),
        pytest.param(b"", "is cut off", id="empty"),
        pytest.param(PACKED + b"more", "goes on behind its gzip stream", id="bytes behind"),
        pytest.param(PACKED + PACKED, "goes on behind its gzip stream", id="two streams"),
    ],
)
def test_what_is_no_single_gzip_stream_is_400(client: Client, body: bytes, sentence: str) -> None:
    refused = client.predict(body, **GZIP)

    assert refused.status_code == 400
    assert sentence in refused.json()["detail"]
    assert client.predict(BODY).status_code == 200


def test_a_body_that_inflates_past_the_limit_is_413_before_it_is_whole(client: Client) -> None:
    bomb = gzip.compress(b" " * 200_000_000)

    refused = client.predict(bomb, **GZIP)

    assert len(bomb) < 1_000_000
    assert refused.status_code == 413


def test_another_encoding_is_415_and_names_gzip(client: Client) -> None:
    for encoding in ("br", "zstd", "deflate", "gzip, gzip"):
        refused = client.predict(BODY, **{"content-encoding": encoding})

        assert refused.status_code == 415
        assert "send gzip" in refused.json()["detail"]


def test_a_body_that_was_encoded_twice_is_415_however_that_is_said(client: Client) -> None:
    headers = [("content-type", "application/json"), *[("content-encoding", "gzip")] * 2]

    refused = client.post("/predict", content=gzip.compress(PACKED), headers=headers)

    assert refused.status_code == 415
    assert client.predict(BODY).status_code == 200


def test_a_body_that_inflates_to_less_than_it_is_is_400_before_it_is_whole(client: Client) -> None:
    empty_blocks = PACKED[:10] + b"\0\0\0\xff\xff" * 1_000_000

    refused = client.predict(empty_blocks, **GZIP)

    assert refused.status_code == 400
    assert "longer than what it inflates to" in refused.json()["detail"]


def test_a_large_reply_is_in_gzip_where_that_is_asked_for(client: Client) -> None:
    body = {"instances": [ROW] * 9000}

    plain = client.predict(body, **{"accept-encoding": "identity"})
    refused = client.predict(body, **{"accept-encoding": "*, gzip;q=0, br"})
    packed = client.predict(body, **{"accept-encoding": "br, gzip;q=0.5"})

    for reply in (plain, refused):
        assert "content-encoding" not in reply.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) < len(plain.content) / 10
    assert packed.content == plain.content
    assert packed.headers["x-model-version"] == "1"


def test_a_small_reply_is_never_packed(client: Client) -> None:
    small: httpx.Response = client.predict(BODY, **{"accept-encoding": "gzip", "x-request-id": "a"})

    assert "content-encoding" not in small.headers
