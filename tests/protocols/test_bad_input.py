"""The corpus of bad input in the protocols of others: statuses, envelopes, and what stays."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.bad_input import GOOD
from tests.support.bad_protocols import FORMS, Case, cases
from tests.support.fakes import FakeRegistry
from tests.support.keys import line
from tests.support.server import Client, serve, settings_for

CASES = dict(cases())
PATHS = sorted({form.path for form in FORMS.values()})
BEFORE = {name: form for name, form in FORMS.items() if name in ("V2", "V1", "split")}


def send(client: Client, case: Case) -> httpx.Response:
    headers = [(name.encode(), value.encode()) for name, value in case.headers.items()]
    return client.post(case.path, content=case.body, headers=headers)


def check_envelope(path: str, refused: httpx.Response) -> str:
    """Check an error's body and headers; return its sentence."""
    body = refused.json()
    kind = "application/json"
    if path.startswith(("/v1/", "/v2/")):
        assert set(body) == {"error"}
        sentence = str(body["error"])
    elif path.startswith("/invocations"):
        assert {"error_code", "message"} <= set(body) <= {"error_code", "message", "example"}
        sentence = str(body["message"])
    else:
        kind = "application/problem+json"
        assert body["status"] == refused.status_code
        sentence = str(body["detail"])
    assert refused.headers["content-type"] == kind
    assert refused.headers["x-request-id"]
    assert refused.status_code not in (429, 503) or refused.headers["retry-after"].isdigit()
    said = sentence.split(" A request that works: ")[0]
    assert said.endswith((".", "?", "…"))
    assert len(said.encode()) <= 4096
    for secret in ("Traceback", "site-packages"):
        assert secret not in refused.text
    # No value or key is repeated at length; none of ours is long either.
    assert not re.search(r"(.)\1{64}", said)
    return said


@pytest.mark.parametrize("name", CASES)
def test_bad_input_has_its_status_in_the_envelope_of_its_protocol(
    client: Client, name: str
) -> None:
    case = CASES[name]

    answered = send(client, case)

    assert answered.status_code == case.status, answered.text[:500]
    if case.status == 200:
        assert "setosa" in answered.text
    else:
        check_envelope(case.path, answered)
    assert client.predict({"instances": [GOOD]}).json()["predictions"] == ["setosa"]
    for form in BEFORE.values():
        assert client.post(form.path, content=form.body()).status_code == 200


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("/models")])
def test_the_example_of_a_refusal_is_answered(client: Client, path: str) -> None:
    refused = client.post(path, content=b"{}", headers={"content-type": "application/json"}).json()
    shown = refused.get("error", "").split(" A request that works: ")[-1]
    example = refused.get("example") or json.loads(shown)

    assert client.post(path, json=example).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_405_in_the_envelope(client: Client, path: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        refused = client.request(method, path)

        assert refused.status_code == 405, method
        assert refused.headers["allow"] == "POST"
        check_envelope(path, refused)
    head = client.head(path)
    assert (head.status_code, head.content) == (405, b"")


NAMES = {
    "a space": "a%20b", "a quote": "%22", "an apostrophe": "a'b", "a percent sign": "%25",
    "unicode": "%C3%A9", "no UTF-8": "%FF", "NUL": "%00", "a line break": "a%0Ab",
    "a slash": "a%2Fb", "dots": "..%2f..%2fetc", "the log of use": "in-use", "dot": "%2e",
    "a long one": "a" * 2000, "a long one in unicode": "%C3%A9" * 500, "a colon": "a:b",
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/{}/infer",
        "/v2/models/{}/versions/1/infer",
        "/v2/models/iris/versions/{}/infer",
        "/v1/models/{}:predict",
        "/models/{}/versions/1/predict",
        "/v2/repository/models/{}/load",
        "/v2/repository/models/{}/unload",
    ],
)
def test_a_name_that_no_model_has_is_404(client: Client, path: str, name: str) -> None:
    raw = path.format(NAMES[name])
    url = httpx.URL(f"{client.base_url}").copy_with(raw_path=raw.encode())

    refused = client.post(url, content=b"{}", headers={"content-type": "application/json"})

    assert refused.status_code == 404, refused.text
    check_envelope(path, refused)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path",
    ["/v2/models/{}/ready", "/v2/models/{}/config", "/v2/models/{}/versions/1", "/v1/models/{}"],
)
def test_nothing_is_known_of_a_name_that_no_model_has(client: Client, path: str, name: str) -> None:
    raw = path.format(NAMES[name])
    url = httpx.URL(f"{client.base_url}").copy_with(raw_path=raw.encode())

    for method in ("GET", "HEAD"):
        assert client.request(method, url).status_code == 404


def test_without_a_model_in_use_each_protocol_says_so(impatient: Client) -> None:
    for form in FORMS.values():
        headers = {"content-type": "application/json"}
        refused = impatient.post(form.path, content=form.body(), headers=headers)

        named = form.path != "/invocations"
        assert refused.status_code == (404 if named else 503)
        check_envelope(form.path, refused)


SECRETS = {"predict": "predicts", "train": "trains", "admin": "administers"}

RIGHTS = {
    **dict.fromkeys(PATHS, "predict"),
    "/v2/repository/index": "predict",
    "/v2/repository/models/nobody/load": "admin",
    "/v2/repository/models/nobody/unload": "admin",
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("locked")
    (folder / "keys").write_text("".join(line(role, key) for role, key in SECRETS.items()))
    settings = settings_for(
        folder / "data", api_keys_file=folder / "keys", cors_origins="https://pages.example"
    )
    with serve(settings, FakeRegistry(folder)) as client:
        training = {"name": "iris", "model_type": "GaussianNB", "dataset": "iris"}
        headers = {"authorization": "Bearer administers"}
        assert client.post("/train", json=training, headers=headers).status_code == 201
        yield client


@pytest.mark.parametrize("path", RIGHTS)
def test_a_key_may_do_what_its_role_says_in_every_protocol(locked: Client, path: str) -> None:
    roles = list(SECRETS)
    bodies = {form.path: form.body() for form in FORMS.values()}
    for role, secret in SECRETS.items():
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        answered = locked.post(path, content=bodies.get(path, b""), headers=headers)

        if roles.index(role) < roles.index(RIGHTS[path]):
            assert answered.status_code == 403
            check_envelope(path, answered)
        else:
            assert answered.status_code == (404 if "nobody" in path else 200), answered.text


@pytest.mark.parametrize(
    "sent", [None, b"", b"Bearer", b"Bearer wrong", b"Basic cHJlZGljdHM=", b"Bearer \xe9",
             b"Bearer " + b"k" * 10_240]
)  # fmt: skip
@pytest.mark.parametrize("path", RIGHTS)
def test_no_key_or_a_wrong_one_is_401_in_the_envelope(
    locked: Client, path: str, sent: bytes | None
) -> None:
    headers = [] if sent is None else [(b"authorization", sent)]

    refused = locked.post(path, content=b"{}", headers=headers)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    check_envelope(path, refused)


@pytest.mark.parametrize("path", RIGHTS)
def test_a_browser_may_ask_each_route_whether_it_may_post(locked: Client, path: str) -> None:
    asked = {
        "origin": "https://pages.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, inference-header-content-length",
    }

    preflight = locked.options(path, headers=asked)
    refused = locked.post(path, content=b"{}", headers={"origin": asked["origin"]})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == asked["origin"]
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == asked["origin"]
