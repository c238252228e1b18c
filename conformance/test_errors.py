"""Errors: a status that says whose fault it is, and one envelope, wherever they come from."""

import httpx
import pytest

from conformance.target import Infer, Model, refused


def test_an_unknown_model_is_not_found(client: httpx.Client, model: Model) -> None:
    refused(client.post("/v2/models/no-such-model/infer", json=model.request()), 404, 400)


def test_an_unknown_model_is_named_before_the_body_is_judged(client: httpx.Client) -> None:
    refused(client.post("/v2/models/no-such-model/infer", json={"inputs": []}))


def test_inference_is_posted(client: httpx.Client, infer: Infer) -> None:
    assert client.get(f"{infer.path()}/infer").status_code in (404, 405)


def test_an_error_says_that_it_is_json(client: httpx.Client, infer: Infer) -> None:
    for response in (client.get("/v2/models/no-such-model"), infer.send(b"{")):
        assert response.headers["content-type"].startswith("application/json")


def test_an_error_of_content_has_the_envelope(infer: Infer, model: Model) -> None:
    refused(infer.json(model.request([])))


def test_an_error_of_json_has_the_envelope(infer: Infer) -> None:
    refused(infer.send(b'{"inputs": '))


def test_an_error_of_the_media_type_has_the_envelope(infer: Infer) -> None:
    response = infer.send(b"<inputs/>", {"content-type": "text/xml"})

    refused(response)


@pytest.mark.parametrize("outputs", [[{"name": "no such output"}], [{}]])
def test_an_error_of_an_output_has_the_envelope(
    infer: Infer, model: Model, outputs: object
) -> None:
    refused(infer.json(model.request(outputs=outputs)))


def test_a_message_is_for_people(client: httpx.Client, infer: Infer) -> None:
    for response in (client.get("/v2/models/no-such-model"), infer.send(b"{")):
        message = refused(response)
        assert "Traceback" not in message
        assert 'File "' not in message
