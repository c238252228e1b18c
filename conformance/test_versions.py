"""URLs with a version: exactly that one, or a refusal."""

import httpx
import pytest

from conformance.target import Infer, Model, answered, parsed, refused


def test_a_version_is_ready(client: httpx.Client, infer: Infer, version: str) -> None:
    assert client.get(f"{infer.path(version)}/ready").status_code == 200


def test_a_version_has_metadata(
    client: httpx.Client, infer: Infer, model: Model, version: str
) -> None:
    response = client.get(infer.path(version))

    assert response.status_code == 200
    assert parsed(response.content)["name"] == model.name


def test_a_version_answers_and_says_so(infer: Infer, model: Model, version: str) -> None:
    response = infer.json(model.request(), version)

    answered(response, model)
    assert response.json().get("model_version", version) == version


@pytest.mark.parametrize("version", ["999999999", "no-such-version", "-1", "1.5", "%00"])
def test_an_unknown_version_is_refused(
    client: httpx.Client, infer: Infer, model: Model, version: str
) -> None:
    refused(client.get(infer.path(version)))
    refused(client.get(f"{infer.path(version)}/ready"))
    refused(infer.json(model.request(), version))
