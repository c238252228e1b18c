"""The chart's API keys: generated when enabled; only the operator's Secret has the plain text."""

import base64
import hashlib
from typing import Any

from tests.support.chart import Resource, needs_helm, render

pytestmark = needs_helm

GENERATED = ("auth.enabled=true",)
GIVEN = ("auth.enabled=true", "auth.existingSecret=ours")


def named(resources: list[Resource], kind: str, name: str) -> dict[str, Any] | None:
    """Return a resource of the release `desafio`."""
    return next(
        (
            one
            for one in resources
            if one["kind"] == kind and one["metadata"]["name"] == f"desafio-{name}"
        ),
        None,
    )


def api_pod(resources: list[Resource]) -> dict[str, Any]:
    deployment = named(resources, "Deployment", "api")
    assert deployment is not None
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_pods_get_the_digests_of_the_keys_and_not_the_keys() -> None:
    resources = render(*GENERATED)
    clients, keys = (named(resources, "Secret", name) for name in ("clients", "keys"))
    assert clients is not None
    assert keys is not None

    plain = {role: base64.b64decode(key) for role, key in clients["data"].items()}
    lines = dict(line.split(": ") for line in keys["stringData"]["keys"].splitlines())
    assert sorted(plain) == ["admin", "predict", "train"]
    assert all(len(key) >= 40 for key in plain.values())
    assert lines == {role: hashlib.sha256(key).hexdigest() for role, key in plain.items()}
    assert "desafio-clients" not in str(api_pod(resources))


def test_the_service_reads_them_where_they_are_mounted() -> None:
    resources = render(*GENERATED)
    settings = named(resources, "ConfigMap", "api")
    assert settings is not None

    path = settings["data"]["SERVICE_API_KEYS_FILE"]
    (volume,) = [one for one in api_pod(resources)["volumes"] if one["name"] == "keys"]
    (mount,) = [
        one for one in api_pod(resources)["containers"][0]["volumeMounts"] if one["name"] == "keys"
    ]
    assert f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}" == path
    assert volume["secret"]["secretName"] == "desafio-keys"
    # With a subPath, a changed Secret would never reach the pod.
    assert "subPath" not in mount


def test_given_keys_take_the_place_of_generated_ones() -> None:
    resources = render(*GIVEN)

    assert named(resources, "Secret", "clients") is None
    assert named(resources, "Secret", "keys") is None
    (volume,) = [one for one in api_pod(resources)["volumes"] if one["name"] == "keys"]
    assert volume["secret"] == {"secretName": "ours", "items": [{"key": "keys", "path": "keys"}]}


def test_the_tests_of_the_release_have_an_admin_key() -> None:
    for values, secret in ((GENERATED, "desafio-clients"), (GIVEN, "ours")):
        pod = named(render(*values), "Pod", "test-train")
        assert pod is not None
        (key,) = [one for one in pod["spec"]["containers"][0]["env"] if one["name"] == "API_KEY"]
        assert key["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "admin"}


def test_without_keys_nothing_of_them_is_there() -> None:
    resources = render()

    assert named(resources, "Secret", "clients") is None
    assert "API_KEY" not in str(api_pod(resources))
    assert "SERVICE_API_KEYS_FILE" not in str(named(resources, "ConfigMap", "api"))
