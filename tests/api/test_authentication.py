"""API keys and roles: what each role may do on each endpoint, and how keys are rotated."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.auth.api_keys import ApiKeys
from service.common.errors import Forbidden, RateExceeded, StartError, Unauthorized
from tests.support.fakes import FakeRegistry
from tests.support.keys import Clock, line
from tests.support.server import Client, serve, settings_for

OLD, NEW = "an-old-key", "a-new-key"
SECRETS = {"predict": "predicts", "train": "trains", "admin": "administers"}
SENT: dict[str | None, str] = {
    None: "none",
    "wrong": "bad",
    **{secret: role for role, secret in SECRETS.items()},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# who may\n\n" + line("predict", OLD))
    return path


def bearer(secret: str) -> bytes:
    return f"Bearer {secret}".encode()


def test_a_key_in_force_has_its_role(path: Path) -> None:
    assert ApiKeys(path).check(bearer(OLD), "predict") == "predict"


@pytest.mark.parametrize(
    "sent", [None, b"", b"Bearer", b"Bearer ", b"Basic an", bearer(NEW), b"Bearer an old  key"]
)
def test_anything_but_a_valid_key_is_refused(path: Path, sent: bytes | None) -> None:
    path.write_text(line("predict", "an"))

    with pytest.raises(Unauthorized):
        ApiKeys(path).check(sent, "predict")


@pytest.mark.parametrize("role", SECRETS)
@pytest.mark.parametrize("needed", SECRETS)
def test_a_role_includes_those_before_it(path: Path, role: str, needed: str) -> None:
    path.write_text(line(role, "key"))
    keys, roles = ApiKeys(path), list(SECRETS)

    if roles.index(role) >= roles.index(needed):
        assert keys.check(b"Bearer key", needed) == role
    else:
        with pytest.raises(Forbidden, match=f"{needed!r}.*{role!r}"):
            keys.check(b"Bearer key", needed)


def test_keys_are_rotated_without_a_restart(path: Path) -> None:
    path.write_text(line("predict", "old"))
    keys = ApiKeys(path, Clock())

    path.write_text(line("predict", "old") + line("train", "new"))
    assert keys.check(b"Bearer old", "predict") == "predict"
    assert keys.check(b"Bearer new", "predict") == "train"

    path.write_text(line("train", "new"))
    with pytest.raises(Unauthorized):
        keys.check(b"Bearer old", "predict")


@pytest.mark.parametrize("text", ["", "nonsense", line("root", "x"), "predict: 12\n", "\xff"])
def test_a_file_that_became_wrong_changes_nothing(path: Path, text: str) -> None:
    path.write_text(line("predict", "old"))
    keys = ApiKeys(path, Clock())

    path.write_bytes(text.encode("latin-1"))

    assert keys.check(b"Bearer old", "predict") == "predict"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no key"),
        ("# none\n", "holds no key"),
        ("predict: 12\n", "line 1"),
        (line("predict", "a") + line("root", "b"), "line 2"),
        (line("predict", "a") + line("admin", "a"), "a second time"),
        ("x" * 70_000, "more than"),
        (line("predict", "a").strip() + " 0/s\n", "line 1"),
        (line("predict", "a").strip() + " 5/m\n", "a limit as in `200/s`"),
        (line("predict", "a") + line("predict", "a"), "a second time"),
    ],
)
def test_a_wrong_file_stops_the_start_with_a_sentence(path: Path, text: str, said: str) -> None:
    path.write_text(text)

    with pytest.raises(StartError, match=said):
        ApiKeys(path)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        ApiKeys(tmp_path / "nothing")


class Watch:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_limited_to_its_request_rate(path: Path) -> None:
    watch = Watch()
    path.write_text(line("predict", "few").strip() + " 5/s # a client\n" + line("predict", "many"))
    keys = ApiKeys(path, watch)

    def taken(key: bytes, times: int) -> int:
        count = 0
        for _ in range(times):
            try:
                keys.check(b"Bearer " + key, "predict")
            except RateExceeded:
                continue
            count += 1
        return count

    assert taken(b"few", 20) == 5  # a second's worth at once
    with pytest.raises(RateExceeded, match="5 times a second"):
        keys.check(b"Bearer few", "predict")
    assert taken(b"many", 20) == 20
    watch.now += 0.5
    assert taken(b"few", 20) == 2
    watch.now += 3600
    assert taken(b"few", 20) == 5


def test_forbidden_requests_are_not_counted(path: Path) -> None:
    path.write_text(line("predict", "few").strip() + " 1/s\n")
    keys = ApiKeys(path, Watch())

    for _ in range(5):
        with pytest.raises(Forbidden):
            keys.check(b"Bearer few", "admin")

    assert keys.check(b"Bearer few", "predict") == "predict"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("keys")
    path = folder / "keys"
    path.write_text("".join(line(role, secret) for role, secret in SECRETS.items()))
    settings = settings_for(folder / "data", api_keys_file=path)
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


NEEDED = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): None,
    ("GET", "/"): None,
    ("GET", "/docs"): None,
    ("GET", "/docs/assets/swagger-ui.css"): None,
    ("GET", "/openapi.json"): None,
    ("POST", "/predict"): "predict",
    ("GET", "/schema"): "predict",
    ("GET", "/use-model"): "predict",
    ("GET", "/access"): "predict",
    ("GET", "/outcomes"): "predict",
    ("POST", "/outcomes"): "predict",
    ("GET", "/figures"): "predict",
    ("GET", "/skew"): "predict",
    ("GET", "/traffic"): "predict",
    ("PUT", "/traffic"): "admin",
    ("DELETE", "/traffic"): "admin",
    ("GET", "/models"): "predict",
    ("GET", "/models/{name}"): "predict",
    ("GET", "/models/{name}/versions"): "predict",
    ("GET", "/models/{name}/versions/{version}"): "predict",
    ("GET", "/model-types"): "predict",
    ("GET", "/model-types/{name}"): "predict",
    ("GET", "/trainings"): "predict",
    ("GET", "/trainings/{training}"): "predict",
    ("GET", "/datasets"): "predict",
    ("GET", "/datasets/{name}"): "predict",
    ("POST", "/train"): "train",
    ("DELETE", "/trainings/{training}"): "train",
    ("POST", "/datasets"): "train",
    ("DELETE", "/datasets/{name}"): "admin",
    ("DELETE", "/models/{name}/versions/{version}"): "admin",
    ("POST", "/use-model"): "admin",
    **dict.fromkeys(
        (
            ("GET", "/v2"),
            ("GET", "/v2/models"),
            ("GET", "/v2/models/{name}"),
            ("GET", "/v2/models/{name}/ready"),
            ("GET", "/v2/models/{name}/config"),
            ("GET", "/v2/models/{name}/versions/{version}"),
            ("GET", "/v2/models/{name}/versions/{version}/ready"),
            ("GET", "/v2/models/{name}/versions/{version}/config"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/{name}"),
            ("GET", "/version"),
            ("POST", "/models/{name}/versions/{version}/predict"),
            ("POST", "/v2/models/{name}/infer"),
            ("POST", "/v2/models/{name}/versions/{version}/infer"),
            ("POST", "/v2/repository/index"),
            ("POST", "/v1/models/{name}:predict"),
            ("POST", "/invocations"),
        ),
        "predict",
    ),
    ("GET", "/v2/health/live"): None,
    ("GET", "/v2/health/ready"): None,
    ("GET", "/ping"): None,
    ("GET", "/health"): None,
    ("POST", "/v2/repository/models/{name}/load"): "admin",
    ("POST", "/v2/repository/models/{name}/unload"): "admin",
    ("POST", "/no-such-route"): "admin",
    ("PUT", "/predict"): "admin",
    ("POST", "//predict"): "admin",
}


def test_the_matrix_has_every_route(locked: Client) -> None:
    document = locked.get("/openapi.json").json()
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}

    assert routes <= set(NEEDED)


@pytest.mark.parametrize("secret", SENT, ids=SENT.values())
@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_every_route_asks_for_its_role(
    locked: Client, method: str, path: str, secret: str | None
) -> None:
    needed, roles = NEEDED[method, path], list(SECRETS)
    sent = {} if secret is None else {"authorization": f"Bearer {secret}"}
    role = SENT[secret]

    target = path.format(name="x", version=1, training="x")
    answer = locked.request(method, f"{str(locked.base_url).rstrip('/')}{target}", headers=sent)

    if needed is None:
        assert answer.status_code in (200, 307, 404, 503)
    elif role not in roles:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "needs a key" in answer.text
    elif roles.index(role) < roles.index(needed):
        assert answer.status_code == 403
        assert f"a key of the role '{needed}'" in answer.text
    else:
        assert answer.status_code not in (401, 403)


def test_training_and_putting_in_use_are_two_rights(locked: Client) -> None:
    train = {"authorization": f"Bearer {SECRETS['train']}"}
    body = {"dataset": "iris", "model_type": "GaussianNB"}

    quiet = locked.post("/train", json=body, headers=train)
    asked = locked.post("/train", json={**body, "use": True}, headers=train)
    better = locked.post("/train", json={**body, "use": "if-better"}, headers=train)

    assert (quiet.status_code, quiet.json()["used"]) == (201, False)
    for refused in (asked, better):
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    admin = {"authorization": f"Bearer {SECRETS['admin']}"}
    assert locked.post("/train", json=body, headers=admin).json()["used"] is True


def test_a_row_on_the_fast_path_needs_a_key(locked: Client) -> None:
    admin = {"authorization": f"Bearer {SECRETS['admin']}"}
    locked.post("/train", json={"dataset": "iris", "model_type": "GaussianNB"}, headers=admin)
    example = locked.get("/schema", headers=admin).json()["example"]

    assert locked.post("/predict", json=example).status_code == 401
    assert locked.post("/predict", json=example, headers=admin).status_code == 200


@pytest.mark.parametrize("role", SECRETS)
def test_a_key_is_told_its_role(locked: Client, role: str) -> None:
    answer = locked.get("/access", headers={"authorization": f"Bearer {SECRETS[role]}"})

    assert (answer.status_code, answer.json()) == (200, {"keys": True, "role": role})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer bad"}])
def test_without_a_valid_key_nothing_is_told_of_access(
    locked: Client, headers: dict[str, str]
) -> None:
    answer = locked.get("/access", headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "role" not in answer.json()


def test_without_keys_every_client_may_do_everything(client: Client) -> None:
    assert client.get("/access").json() == {"keys": False, "role": "admin"}


def test_a_refused_request_carries_its_id(locked: Client) -> None:
    answer = locked.get("/models", headers={"x-request-id": "mine"})

    assert answer.headers["x-request-id"] == "mine"


def test_without_a_file_no_key_is_needed(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        assert client.get("/models").status_code == 200


def test_openapi_shows_the_model_in_use_only_to_a_client_with_a_key(locked: Client) -> None:
    admin = {"authorization": "Bearer administers"}
    rows = {"columns": ["ward", "y"], "rows": [["oncology", "a"], ["surgery", "b"]] * 10}
    body = {"name": "secret", "model_type": "GaussianNB", "dataset": rows, "target": "y"}
    assert locked.post("/train", json=body, headers=admin).status_code == 201

    without = locked.get("/openapi.json")
    wrong = locked.get("/openapi.json", headers={"authorization": "Bearer bad"})
    with_key = locked.get("/openapi.json", headers={"authorization": "Bearer predicts"})

    assert without.status_code == wrong.status_code == 200
    assert "oncology" in with_key.text
    assert "oncology" not in without.text
    assert "ward" not in without.text
    assert without.json() == wrong.json()
