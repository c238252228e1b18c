import hashlib
import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

PLUGIN = Path(__file__).parents[2] / "clients" / "mlflow"

ROW = {"columns": ["a", "b"], "data": [[1.5, "x"]]}


class FakeService:
    """Answers each request with the next of its replies, and keeps what it was asked."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, dict[str, str], object]] = []
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    def answer(self, status: int, body: object, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.append((status, named, body))


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            service.asked.append((self.path, dict(self.headers), json.loads(content or b"null")))
            status, headers, body = service.replies.pop(0)
            reply = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(reply))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield service
        server.shutdown()
        thread.join()


def plugin(url: object) -> Any:
    from mlflow_desafio.deployments import DesafioDeploymentClient

    return DesafioDeploymentClient(f"desafio:{url}")


@pytest.fixture
def deployments(client: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin's client of the shared service, without a key."""
    monkeypatch.delenv("DESAFIO_API_KEY", raising=False)
    return plugin(client.base_url)


def refusal(call: Any, *arguments: object, **named: object) -> Any:
    """Return the exception of a call that is refused."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as raised:
        call(*arguments, **named)
    return raised.value


def in_use(client: Client) -> tuple[str, int]:
    use = client.get("/use-model").json()
    return use["name"], use["version"]


def test_create_puts_the_version_in_use(deployments: Any, client: Client) -> None:
    client.train(name="planned", model_type="GaussianNB", dataset="iris", use=False)
    created = deployments.create_deployment("planned", "models:/planned/1")

    assert in_use(client) == ("planned", 1)
    assert (created["name"], created["version"]) == ("planned", 1)
    assert created["missing"] == []


def test_update_takes_an_alias(deployments: Any, client: Client, registry: FakeRegistry) -> None:
    registry.aliases["iris", "best"] = 1
    deployments.update_deployment("iris", "models:/iris@best")

    assert in_use(client) == ("iris", 1)


def test_latest_is_the_newest_version(deployments: Any, client: Client) -> None:
    trained = client.train(name="twice", model_type="GaussianNB", dataset="iris", use=False)
    newer = client.train(name="twice", model_type="GaussianNB", dataset="iris", use=False)
    deployments.create_deployment("twice", "models:/twice/latest")

    assert trained["version"] != newer["version"]
    assert in_use(client) == ("twice", newer["version"])


def test_an_unknown_version_is_told_in_the_words_of_the_service(
    deployments: Any, client: Client
) -> None:
    before = client.get("/use-model").json()["epoch"]
    error = refusal(deployments.create_deployment, "iris", "models:/iris/99")

    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"
    expected = client.post("/use-model", json={"name": "iris", "version": 99}).json()["detail"]
    assert expected in error.message
    assert client.get("/use-model").json()["epoch"] == before


@pytest.mark.parametrize(
    "uri",
    ["", "iris", "models:/iris", "models:/iris/", "models:/iris/Production", "runs:/abc/model",
     "models:/iris/3/4", "models:/iris@", "models:/iris/-1", "models://iris/3", "models:/m-0123"],
)  # fmt: skip
def test_another_uri_is_refused_with_the_right_one(deployments: Any, uri: str) -> None:
    error = refusal(deployments.create_deployment, "iris", uri)

    assert error.error_code == "INVALID_PARAMETER_VALUE"
    assert "models:/NAME/VERSION" in error.message


def test_a_deployment_has_the_name_of_its_model(deployments: Any, client: Client) -> None:
    error = refusal(deployments.create_deployment, "mine", "models:/iris/1")

    assert "--name iris" in error.message
    assert in_use(client) == ("iris", 1)


def test_options_that_would_be_ignored_are_refused(deployments: Any) -> None:
    error = refusal(deployments.create_deployment, "iris", "models:/iris/1", config={"cpu": "2"})
    assert "-C cpu" in error.message

    assert "--endpoint" in refusal(deployments.list_deployments, endpoint="x").message


def test_an_update_without_a_uri_says_what_is_missing(deployments: Any) -> None:
    assert "models:/iris/VERSION" in refusal(deployments.update_deployment, "iris").message


def test_get_shows_what_is_in_use(deployments: Any) -> None:
    shown = deployments.get_deployment("iris")

    assert (shown["name"], shown["version"]) == ("iris", 1)
    assert len(shown["replicas"]) == 1


def test_get_of_another_model_names_the_one_in_use(deployments: Any) -> None:
    error = refusal(deployments.get_deployment, "wine")

    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert "iris version 1" in error.message


def test_list_shows_every_version(deployments: Any, client: Client) -> None:
    listed = deployments.list_deployments()

    assert listed == client.get("/models?limit=1000").json()["models"]
    assert [v["name"] for v in listed if v["in_use"]] == ["iris"]


def test_list_follows_pages(fake: FakeService) -> None:
    fake.answer(200, {"models": [{"name": "a"}], "next_page_token": "b/1+&"})
    fake.answer(200, {"models": [{"name": "c"}], "next_page_token": None})

    assert plugin(fake.url).list_deployments() == [{"name": "a"}, {"name": "c"}]
    assert [path for path, _, _ in fake.asked] == ["/models", "/models?page_token=b%2F1%2B%26"]


def test_delete_says_that_one_version_stays(deployments: Any, client: Client) -> None:
    error = refusal(deployments.delete_deployment, "iris")

    assert "always keeps one version in use" in error.message
    assert in_use(client) == ("iris", 1)


def test_run_local_says_how_to_start_the_service() -> None:
    from mlflow_desafio.deployments import run_local

    assert "python -m service" in refusal(run_local, "iris", "models:/iris/1").message


@pytest.mark.parametrize(
    "target", ["desafio", "desafio:", "desafio:/x", "desafio:ftp://h", "desafio:http://",
               "desafio:http://h:x", "desafio:http://h?a=b", "desafio:127.0.0.1:8000"]
)  # fmt: skip
def test_a_target_without_a_url_is_refused(target: str) -> None:
    from mlflow_desafio.deployments import DesafioDeploymentClient

    assert "desafio:http://127.0.0.1:8000" in refusal(DesafioDeploymentClient, target).message


def test_a_frame_is_sent_as_split_with_its_missing_values(fake: FakeService) -> None:
    fake.answer(200, {"predictions": ["s"]}, X_Model_Name="iris")
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None], "c": [True, False], "d": [2, 3]})
    answer = plugin(fake.url).predict("iris", frame)

    assert answer.get_predictions().to_numpy().tolist() == [["s"]]
    path, headers, body = fake.asked[0]
    assert path == "/invocations"
    assert headers["Content-Type"] == "application/json"
    data = [[1.5, "x", True, 2], [None, None, False, 3]]
    assert body == {"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": data}}


def test_numbers_keep_all_their_digits(fake: FakeService) -> None:
    fake.answer(200, {"predictions": [1]})
    plugin(fake.url).predict("iris", pd.DataFrame({"a": [0.1 + 0.2], "b": [2**60 + 1]}))

    assert fake.asked[0][2]["dataframe_split"]["data"] == [[0.1 + 0.2, 2**60 + 1]]


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ({"dataframe_split": ROW}, {"dataframe_split": ROW}),
        ({"a": [1], "b": ["x"]}, {"inputs": {"a": [1], "b": ["x"]}}),
        ([[1.5, 2.5]], {"inputs": [[1.5, 2.5]]}),
        (np.array([[1.5, 2.5]]), {"inputs": [[1.5, 2.5]]}),
        ({"a": np.array([1])}, {"inputs": {"a": [1]}}),
    ],
)
def test_other_inputs_are_sent_as_the_protocol_has_them(
    fake: FakeService, inputs: object, body: object
) -> None:
    fake.answer(200, {"predictions": [1]})
    plugin(fake.url).predict("iris", inputs)

    assert fake.asked[0][2] == body


@pytest.mark.parametrize("inputs", [None, [[float("nan")]], [[object()]]])
def test_inputs_that_are_no_json_are_refused_before_they_are_sent(
    fake: FakeService, inputs: object
) -> None:
    error = refusal(plugin(fake.url).predict, "iris", inputs)

    assert error.error_code == "INVALID_PARAMETER_VALUE"
    assert fake.asked == []


def test_a_frame_gets_the_predictions_of_the_service(deployments: Any, client: Client) -> None:
    features = [feature["name"] for feature in client.get("/schema").json()["features"]]
    frame = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], columns=features)
    answer = deployments.predict("iris", frame)

    expected = client.predict({"instances": frame.to_dict(orient="records")}).json()
    assert answer["predictions"] == expected["predictions"]
    assert "wine" in refusal(deployments.predict, "wine", frame).message


def test_the_service_refuses_a_frame_with_a_request_that_works(
    deployments: Any, client: Client
) -> None:
    error = refusal(deployments.predict, "iris", pd.DataFrame({"no": [1.0]}))

    example = json.loads(error.message.rpartition("A request that works: ")[2])
    assert client.post("/invocations", json=example).status_code == 200


def test_an_answer_of_another_model_is_an_error(fake: FakeService) -> None:
    fake.answer(200, {"predictions": [1]}, X_Model_Name="wine", X_Model_Version="4")

    assert "wine version 4" in refusal(plugin(fake.url).predict, "iris", [[1]]).message


def test_a_refused_input_is_told_with_a_request_that_works(fake: FakeService) -> None:
    body = {"error_code": "BAD_REQUEST", "message": "'b' is missing.", "example": {"inputs": [1]}}
    fake.answer(400, body)
    error = refusal(plugin(fake.url).predict, "iris", [[1]])

    assert error.error_code == "INVALID_PARAMETER_VALUE"
    assert error.message == "'b' is missing.\nA request that works: {\"inputs\": [1]}"


def test_each_problem_of_a_refused_request_is_told(fake: FakeService) -> None:
    errors = [{"pointer": "/version", "message": "is not an integer"}, None]
    fake.answer(400, {"detail": "1 problem.", "errors": errors})
    error = refusal(plugin(fake.url).create_deployment, "iris", "models:/iris/1")

    assert error.message == "1 problem.\n/version: is not an integer"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (409, "INVALID_STATE"),
     (503, "TEMPORARILY_UNAVAILABLE"), (500, "INTERNAL_ERROR"), (404, "RESOURCE_DOES_NOT_EXIST")],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"<html>", [1], {"detail": None}])
def test_a_status_without_a_reason_is_told(
    fake: FakeService, status: int, code: str, body: object
) -> None:
    fake.answer(status, body)
    error = refusal(plugin(fake.url).get_deployment, "iris")

    assert error.error_code == code
    assert str(status) in error.message


def test_a_reply_of_another_server_is_told(fake: FakeService) -> None:
    fake.answer(200, b"<html>")

    assert "not JSON" in refusal(plugin(fake.url).get_deployment, "iris").message


def test_the_key_is_sent(fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESAFIO_API_KEY", "secret")
    fake.answer(200, {"name": "iris", "version": 1})
    plugin(fake.url).get_deployment("iris")

    assert fake.asked[0][1]["Authorization"] == "Bearer secret"


def test_the_key_does_not_follow_a_redirect(
    fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESAFIO_API_KEY", "secret")
    fake.answer(302, b"", Location=f"{fake.url}/elsewhere")
    error = refusal(plugin(fake.url).get_deployment, "iris")

    assert "302" in error.message
    assert len(fake.asked) == 1


@pytest.mark.parametrize("key", ["se\ncret", "sécret"])
def test_a_key_that_no_header_takes_is_not_shown(
    fake: FakeService, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("DESAFIO_API_KEY", key)
    error = refusal(plugin(fake.url).get_deployment, "iris")

    assert "DESAFIO_API_KEY" in error.message
    assert key not in error.message
    assert fake.asked == []


def test_a_service_that_is_down_is_told(fake: FakeService) -> None:
    unused = "http://127.0.0.1:1"

    assert f"{unused} does not answer" in refusal(plugin(unused).list_deployments).message
    assert fake.asked == []


def test_a_key_opens_a_service_with_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"predict: {hashlib.sha256(b'reader').hexdigest()}\n")
    settings = settings_for(tmp_path / "data", api_keys_file=keys)
    with serve(settings, FakeRegistry(tmp_path)) as client:
        monkeypatch.setenv("DESAFIO_API_KEY", "reader")
        assert plugin(client.base_url).list_deployments() == []
        error = refusal(plugin(client.base_url).create_deployment, "a", "models:/a/1")
        assert error.error_code == "PERMISSION_DENIED"
        monkeypatch.delenv("DESAFIO_API_KEY")
        error = refusal(plugin(client.base_url).list_deployments)
        assert error.error_code == "UNAUTHENTICATED"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the metadata that an installer makes of pyproject.toml."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    folder = tmp_path_factory.mktemp("plugin")
    metadata = folder / f"mlflow_desafio-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.slow
def test_the_command_line_finds_the_plugin_and_does_it_all(
    client: Client, installed: Path, tmp_path: Path
) -> None:
    client.train(name="flowers", model_type="GaussianNB", dataset="iris", use=False)
    target = f"desafio:{client.base_url}"
    environment = {**os.environ, "PYTHONPATH": f"{installed}:{PLUGIN}", "HOME": str(tmp_path)}

    def command(*words: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "mlflow", "deployments", *words],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    code, said = command("create", "-t", target, "--name", "flowers", "-m", "models:/flowers/1")
    assert code == 0, said
    assert "desafio deployment flowers is created" in said
    assert in_use(client) == ("flowers", 1)

    code, said = command("update", "-t", target, "--name", "iris", "-m", "models:/iris/1")
    assert code == 0, said
    assert in_use(client) == ("iris", 1)

    rows = tmp_path / "rows.json"
    features = client.get("/schema").json()["features"]
    rows.write_text(json.dumps([{feature["name"]: 1.5 for feature in features}]))
    code, said = command("predict", "-t", target, "--name", "iris", "-I", str(rows))
    assert code == 0, said
    expected = client.predict({"instances": json.loads(rows.read_text())}).json()["predictions"]
    assert json.dumps({"predictions": expected}) in said

    code, said = command("get", "-t", target, "--name", "iris")
    assert code == 0, said
    assert "version: 1" in said

    code, said = command("list", "-t", target)
    assert code == 0, said
    assert "'name': 'flowers'" in said

    code, said = command("help", "-t", "desafio")
    assert code == 0, said
    assert "models:/NAME@ALIAS" in said

    code, said = command("delete", "-t", target, "--name", "iris")
    assert code != 0
    assert "always keeps one version in use" in said
    assert in_use(client) == ("iris", 1)
