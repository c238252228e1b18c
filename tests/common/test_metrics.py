"""What Prometheus scrapes, parsed as Prometheus parses it."""

from service.common.metrics import LATENCY_BUCKETS, Metrics, PredictLatency, value_of
from tests.support.exposed import Samples, samples_of
from tests.support.server import Client

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


def _samples(client: Client) -> Samples:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return samples_of(response.text)


def _value(client: Client, name: str, **labels: str) -> float:
    return _samples(client).get((name, frozenset(labels.items())), 0.0)


def test_predictions_are_counted_exactly_by_model_version_and_outcome(client: Client) -> None:
    name, labels = "service_predict_seconds_count", {"model": "iris", "version": "1"}
    ok = _value(client, name, **labels, outcome="ok")
    invalid = _value(client, name, **labels, outcome="invalid")
    rows = _value(client, "service_instances_total", **labels)

    for _ in range(7):
        client.predict(ROW)
    client.predict({"instances": ROW["instances"] * 5})
    client.predict({"instances": []})

    assert _value(client, name, **labels, outcome="ok") == ok + 8
    assert _value(client, name, **labels, outcome="invalid") == invalid + 1
    assert _value(client, "service_instances_total", **labels) == rows + 12


def test_requests_are_counted_by_route_and_never_by_what_a_client_made_up(client: Client) -> None:
    before = _value(client, "service_requests_total", route="/models", method="GET", status="200")

    client.get("/models")
    client.get("/made-up-by-a-client")
    client.request("BREW", "/models")

    after = _samples(client)
    key = {"route": "/models", "method": "GET", "status": "200"}
    assert after["service_requests_total", frozenset(key.items())] == before + 1
    assert not any("made-up" in value for _, labels in after for _, value in labels)
    assert not any(value == "BREW" for _, labels in after for _, value in labels)


def test_the_model_in_use_and_its_epoch_are_shown(client: Client) -> None:
    in_use = client.get("/use-model").json()

    assert _value(client, "service_epoch") == in_use["epoch"]
    assert _value(client, "service_model_in_use", model="iris", version="1") == 1


def test_trainings_invalid_input_and_the_process_are_shown(client: Client) -> None:
    client.train(dataset="iris", model_type="GaussianNB", name="counted")
    client.predict({"instances": []})

    samples = _samples(client)
    names = {name for name, _ in samples}
    assert _value(client, "service_trainings_total", state="succeeded") >= 1
    assert _value(client, "service_invalid_inputs_total", reason="invalid-input") >= 1
    assert {"process_resident_memory_bytes", "process_open_fds"} <= names


def test_a_latency_falls_into_its_bucket_and_all_above() -> None:
    metrics = Metrics()
    metrics.predict.open("m", 1)["ok"].observe(0.0003)

    (family,) = [f for f in metrics.predict.collect() if f.name == "service_predict_seconds"]

    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    assert len(buckets) == len(LATENCY_BUCKETS) + 1
    assert buckets["0.00025"] == 0
    assert buckets["0.0005"] == buckets["+Inf"] == 1


def _shown(latency: PredictLatency) -> set[str]:
    (family,) = [f for f in latency.collect() if f.name == "service_predict_seconds"]
    return {sample.labels["version"] for sample in family.samples}


def test_versions_that_were_in_use_long_ago_are_forgotten() -> None:
    latency = PredictLatency()

    for version in range(1, 1001):
        latency.open("m", version)["ok"].observe(0.001)
        latency.close("m", version)

    assert _shown(latency) == {str(version) for version in range(976, 1001)}


def test_the_version_that_answers_is_never_forgotten_however_many_come_after_it() -> None:
    latency = PredictLatency()
    latency.open("m", 1)["ok"].observe(0.001)

    for version in range(2, 1001):
        latency.open("m", version)["ok"].observe(0.001)
        latency.close("m", version)

    assert "1" in _shown(latency)
    assert len(_shown(latency)) == 25


def test_totals_keep_what_was_forgotten_and_never_fall() -> None:
    latency = PredictLatency()

    for version in range(1, 101):
        outcomes = latency.open("m", version)
        outcomes["ok"].observe(0.001, rows=2)
        outcomes["invalid"].observe(20.0)
        latency.close("m", version)
        assert sum(latency.totals()["ok"].counts) == version

    totals = latency.totals()
    assert (totals["ok"].rows, sum(totals["invalid"].counts)) == (200, 100)
    assert totals["invalid"].counts[-1] == 100
    assert sum(totals["error"].counts) == sum(totals["refused"].counts) == 0
    assert len(_shown(latency)) == 25


def test_a_version_that_is_asked_again_after_it_was_forgotten_is_counted_on() -> None:
    latency = PredictLatency()

    for version in [*range(1, 41), 1]:
        latency.open("m", version)["ok"].observe(0.001)
        latency.close("m", version)

    assert sum(latency.totals()["ok"].counts) == 41


def test_a_gauge_tells_its_value() -> None:
    metrics = Metrics()
    metrics.trainings_queued.set(3)

    assert value_of(metrics.trainings_queued) == 3
