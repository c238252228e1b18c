"""`GET /skew`: whatever way rows come in, they are counted, and what differs is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.common.domain import Version
from service.schema.contract import decode
from service.schema.reference import FILE
from tests.support.columnar import columnar
from tests.support.fakes import FakeRegistry
from tests.support.grpc_client import grpc_client, infer_request
from tests.support.ports import free_port
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until
from tests.support.ways import OF_ANY_TYPE, OF_NUMBERS, Asked, Way

FLOWER = [5.1, 3.5, 1.4, 0.2]

PLACES = ["Rio", "Lima", None]


def skew(client: Client, window: str = "1h") -> dict[str, Any]:
    """Return the reply about one replica."""
    response = client.get("/skew", params={"window": window})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert found["missing"] == []
    return found


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, registry: FakeRegistry, grpc_port: int
) -> Iterator[Client]:
    """A service with three models: iris, one with gaps of every type, one that is not converted."""
    folder = tmp_path_factory.mktemp("data")
    settings = settings_for(folder, grpc_port=grpc_port, skew_rows_per_second=1_000_000)
    with serve(settings, registry) as client:
        rows = [[20 + n % 40, PLACES[n % 3], n % 4 == 0, "ab"[n % 2]] for n in range(120)]
        mixed = {"columns": ["age", "place", "vip", "label"], "rows": rows}
        for name, data, kind in (
            ("mixed", mixed, "LogisticRegression"),
            ("native", mixed, "LabelSpreading"),
            ("iris", "iris", "LogisticRegression"),
        ):
            target = {} if data == "iris" else {"target": "label"}
            client.train(name=name, dataset=data, model_type=kind, **target, wait=120)
        yield client


@pytest.fixture
def use(service: Client) -> Any:
    """Put a model in use; return an empty request to it."""

    def use(name: str) -> Asked:
        assert service.post("/use-model", json={"name": name}).status_code == 200
        features = service.get("/schema").json()["features"]
        return Asked(name, 1, [(one["name"], one["type"]) for one in features], [], False)

    return use


def counted_by(client: Client, ask: Any) -> int:
    """Return how many rows more are counted after asking; each of them has to be in the bins."""
    before = skew(client)
    ask()
    after = skew(client)
    more = after["rows"] - before["rows"]
    assert after["sampled"] - before["sampled"] == more
    return int(more)


def asked_for(model: Asked, rows: list[list[Any]], probabilities: bool) -> Asked:
    return Asked(model.name, model.version, model.features, rows, probabilities)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("way", OF_NUMBERS)
def test_rows_are_counted_by_every_way_of_asking(
    service: Client, use: Any, way: str, probabilities: bool, count: int
) -> None:
    asked = asked_for(use("iris"), [FLOWER] * count, probabilities)
    ask: Way = OF_NUMBERS[way]

    assert counted_by(service, lambda: ask(service, asked).labels) == count


@pytest.mark.parametrize("name", ["mixed", "native"])
@pytest.mark.parametrize("way", OF_ANY_TYPE)
def test_missing_values_of_every_type_are_counted_by_every_way_of_asking(
    service: Client, use: Any, way: str, name: str
) -> None:
    asked = asked_for(use(name), [[30.0, None, True], [31.0, "Rio", False]], False)
    before = {one["name"]: one["missing"] for one in skew(service)["features"]}

    assert counted_by(service, lambda: OF_ANY_TYPE[way](service, asked)) == 2

    after = {one["name"]: one["missing"] for one in skew(service)["features"]}
    assert {key: after[key] - before[key] for key in after} == {"age": 0, "place": 1, "vip": 0}


@pytest.mark.parametrize("media", ["csv", "parquet", "arrow.stream"])
@pytest.mark.parametrize("name", ["mixed", "native"])
def test_rows_of_files_are_counted(
    service: Client, use: Any, registry: FakeRegistry, name: str, media: str
) -> None:
    use(name)
    rows = [{"age": 20.0 + n % 40, "place": PLACES[n % 3], "vip": True} for n in range(600)]
    schema = decode((registry.files(registry.versions[name, 1]) / "schema.json").read_bytes())
    if media == "csv":
        kind = "text/csv"
        lines = [f"{row['age']},{row['place'] or ''},true" for row in rows]
        content = "\n".join(["age,place,vip", *lines]).encode()
    else:
        kind = f"application/vnd.apache.{media}"
        content = columnar(rows, media.partition(".")[0], schema)
    before = {one["name"]: one["missing"] for one in skew(service)["features"]}

    def ask() -> None:
        reply = service.post("/predict", content=content, headers={"content-type": kind})
        assert reply.status_code == 200, reply.text
        assert len(reply.json()["predictions"]) == 600

    assert counted_by(service, ask) == 600
    after = {one["name"]: one["missing"] for one in skew(service)["features"]}
    assert after["place"] - before["place"] == 200


def test_rows_over_grpc_are_counted(service: Client, use: Any, grpc_port: int) -> None:
    use("iris")
    tensor = {"name": "x", "shape": [2, 4], "datatype": "FP64", "data": FLOWER * 2}

    with grpc_client(grpc_port) as client:
        call = lambda: client.call("ModelInfer", infer_request({"inputs": [tensor]}))  # noqa: E731
        assert counted_by(service, call) == 2


def test_many_rows_at_once_are_counted(service: Client, use: Any) -> None:
    use("iris")

    assert counted_by(service, lambda: service.predict({"instances": [FLOWER] * 2000})) == 2000


def test_refused_rows_are_not_counted(service: Client, use: Any) -> None:
    use("iris")

    def ask() -> None:
        assert service.predict({"instances": [FLOWER, FLOWER[:3]]}).status_code == 400
        assert service.predict({"instances": [[1e400, *FLOWER[1:]]]}).status_code == 400

    assert counted_by(service, ask) == 0


def test_another_versions_address_counts_for_that_version_and_a_change_back_goes_on(
    service: Client, use: Any
) -> None:
    use("iris")
    before = skew(service)["rows"]
    mixed = asked_for(use("mixed"), [[30.0, "Rio", True]], False)
    others = skew(service)["rows"]

    for _ in range(3):
        service.post("/models/iris/versions/1/predict", json={"instances": [FLOWER]})
    OF_ANY_TYPE["predict"](service, mixed)

    assert skew(service)["rows"] == others + 1
    use("iris")
    assert skew(service)["rows"] == before + 3


def test_a_window_without_rows_has_no_figures(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path / "registry")) as client:
        client.train(name="iris", dataset="iris", model_type="LogisticRegression")
        found = skew(client)

    assert (found["rows"], found["sampled"], found["since"]) == (0, 0, None)
    told = [*found["features"], found["predictions"]]
    assert [(one["psi"], one["js"], one["verdict"]) for one in told] == [
        (None, None, "too few rows")
    ] * 5
    assert found["predictions"]["confidence"] is None


def test_a_feature_that_moved_by_one_standard_deviation_is_told_within_500_rows(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(5)
    fitted = random.normal(size=(2000, 3))
    labels = (fitted[:, 0] > 0).tolist()
    rows = [[*row, label] for row, label in zip(fitted.tolist(), labels, strict=True)]
    data = {"columns": ["a", "b", "c", "label"], "rows": rows}
    registry = FakeRegistry(tmp_path / "registry")
    with serve(settings_for(tmp_path / "data"), registry) as client:
        client.train(
            name="moving", dataset=data, target="label", model_type="LogisticRegression", wait=120
        )
        asked = random.normal(size=(500, 3)) + np.array([0.0, 1.0, 0.0])
        for row in asked[:499].tolist():
            client.predict({"instances": [row]})
        early = skew(client)
        client.predict({"instances": asked[499:].tolist()})
        found = skew(client)

    assert {one["verdict"] for one in early["features"]} == {"too few rows"}
    assert (found["rows"], found["sampled"]) == (500, 500)
    verdicts = [(one["name"], one["verdict"]) for one in found["features"]]
    assert verdicts[0] == ("b", "drift")
    assert sorted(verdicts[1:]) == [("a", "ok"), ("c", "ok")]
    assert found["features"][0]["psi"] > found["features"][0]["limit"] == 0.25
    assert found["predictions"]["verdict"] == "ok"
    assert sum(one["share"] for one in found["predictions"]["classes"]) == pytest.approx(1)
    assert [one["label"] for one in found["predictions"]["classes"]] == [False, True]
    assert sum(one["share"] for one in found["features"][0]["bins"]) == pytest.approx(1)


@pytest.mark.parametrize(
    "window",
    [
        "",
        "1",
        "h",
        "1y",
        "1 h",
        "01h",
        "4m",
        "15d",
        "337h",
        "1.5h",
        "-1h",
        "1H",
        "9" * 9 + "m",
        "1h\n",
    ],
)
def test_a_window_that_is_none_is_refused(service: Client, window: str) -> None:
    response = service.get("/skew", params={"window": window})

    assert response.status_code == 400
    assert "from 5m to 14d, as in 1h" in response.text


@pytest.mark.parametrize("window", ["5m", "90m", "24h", "336h", "14d"])
def test_windows_of_minutes_hours_and_days_are_taken(
    service: Client, use: Any, window: str
) -> None:
    use("iris")

    assert skew(service, window)["window"] == window


def test_a_parameter_that_is_none_is_refused(service: Client) -> None:
    assert service.get("/skew?windows=1h").status_code == 400
    assert service.get("/skew?window=1h&window=1d").status_code == 400


def test_a_version_of_an_older_release_is_said_to_have_no_reference(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path / "registry")
    with serve(settings_for(tmp_path / "data"), registry) as client:
        client.train(name="old", dataset="iris", model_type="GaussianNB", use=False)
        version = registry.versions["old", 1]
        registry.versions["old", 1] = Version(
            "old",
            1,
            version.created_at,
            version.run_id,
            sha256={name: one for name, one in version.sha256.items() if name != FILE},
        )
        (registry.files(version) / FILE).unlink()
        assert client.post("/use-model", json={"name": "old"}).status_code == 200
        assert client.predict({"instances": [FLOWER]}).status_code == 200

        response = client.get("/skew")

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/nothing-to-compare"
    assert "trained by an older release; train it again" in response.json()["detail"]


def test_where_nothing_is_counted_that_is_said(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", skew_rows_per_second=0)
    with serve(settings, FakeRegistry(tmp_path / "registry")) as client:
        client.train(name="iris", dataset="iris", model_type="GaussianNB")

        response = client.get("/skew")

    assert response.status_code == 409
    assert "SERVICE_SKEW_ROWS_PER_SECOND is 0" in response.json()["detail"]


def test_a_restart_goes_on_with_the_counts(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path / "registry")
    settings = settings_for(tmp_path / "data")
    with serve(settings, registry) as client:
        client.train(name="iris", dataset="iris", model_type="GaussianNB")
        client.predict({"instances": [FLOWER] * 5})

    with serve(settings, registry) as client:
        client.predict({"instances": [FLOWER]})
        wait_until(lambda: skew(client)["complete"])
        found = skew(client)

    assert (found["rows"], found["sampled"]) == (6, 6)


def test_predictions_and_counts_go_on_while_mlflow_is_away(
    service: Client, use: Any, registry: FakeRegistry
) -> None:
    use("iris")
    wait_until(lambda: skew(service)["complete"])
    registry.down = True
    try:
        asked = Asked("iris", 1, [], [FLOWER], False)
        assert counted_by(service, lambda: OF_NUMBERS["predict, arrays"](service, asked)) == 1
    finally:
        registry.down = False
