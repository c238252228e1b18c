"""What every call meets: keys, limits, ids, counts, cancellation, and the end of the service."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from service.common.metrics import Metrics
from service.grpc.calls import Calls
from service.grpc.infer import Infer
from service.grpc.messages import message
from service.rollout.hold import Hold
from service.serving.current_model import CurrentModel, LoadedVersion
from tests.api.inference.test_infer import TENSOR
from tests.grpc.conftest import Both
from tests.support.classifiers import FakeClassifier, predictor_of
from tests.support.fakes import FakeRegistry
from tests.support.grpc_client import SERVICE, GrpcClient, grpc_client, infer_request
from tests.support.keys import line
from tests.support.ports import free_port
from tests.support.server import running, serve, settings_for
from tests.support.site import answering_of
from tests.support.sockets import HEAD, connect
from tests.support.waiting import until, wait_until

INFER = f"/{SERVICE}/ModelInfer"
IRIS = infer_request({"inputs": [TENSOR]})
NEEDED = {
    "ServerLive": None,
    "ServerReady": None,
    "Check": None,
    "ServerMetadata": "predict",
    "ModelReady": "predict",
    "ModelMetadata": "predict",
    "ModelConfig": "predict",
    "ModelInfer": "predict",
    "RepositoryIndex": "predict",
    "RepositoryModelLoad": "admin",
    "RepositoryModelUnload": "admin",
}
SECRETS = {"predict": "predicts", "train": "trains", "admin": "administers"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A service with keys, and no model in use."""
    folder = tmp_path_factory.mktemp("keys")
    path = folder / "keys"
    few = line("predict", "few").strip() + " 2/s\n"
    path.write_text("".join(line(role, secret) for role, secret in SECRETS.items()) + few)
    settings = settings_for(folder / "data", api_keys_file=path, grpc_port=free_port())
    registry = FakeRegistry(folder)
    with serve(settings, registry) as rest, grpc_client(settings.grpc_port) as client:
        yield Both(rest, client, registry)


def code_of(client: GrpcClient, method: str, authorization: str = "") -> str:
    """Call a method about nothing, and return the code of its status."""
    headers = {"authorization": authorization} if authorization else {}
    try:
        if method == "Check":
            client.check(headers=headers)
        else:
            client.call(method, message(f"{method}Request")(), headers)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("method", NEEDED)
def test_every_method_asks_for_the_role_that_rest_does(locked: Both, method: str) -> None:
    needed, roles = NEEDED[method], list(SECRETS)

    for sent in ("", "Bearer wrong", "predicts"):
        code = code_of(locked.grpc, method, sent)
        assert code == ("OK" if needed is None else "UNAUTHENTICATED")
    for role, secret in SECRETS.items():
        code = code_of(locked.grpc, method, f"Bearer {secret}")
        if needed is not None and roles.index(role) < roles.index(needed):
            assert code == "PERMISSION_DENIED"
        else:
            assert code not in ("UNAUTHENTICATED", "PERMISSION_DENIED")


def test_the_matrix_has_every_method(locked: Both) -> None:
    other = locked.grpc.fail("ModelStreamInfer", b"", reply="ModelInferResponse")

    assert other.code == "UNIMPLEMENTED"
    for method in NEEDED:
        assert code_of(locked.grpc, method, "Bearer administers") != "UNIMPLEMENTED"


def test_a_key_is_limited_to_its_rate(locked: Both) -> None:
    codes = [code_of(locked.grpc, "ServerMetadata", "Bearer few") for _ in range(20)]

    assert codes[:2] == ["OK", "OK"]
    assert "RESOURCE_EXHAUSTED" in codes


def test_a_call_without_a_key_is_refused_before_its_message_is_sent(locked: Both) -> None:
    sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stub = locked.grpc.channel.stream_unary(INFER, None, None)

    with pytest.raises(grpc.RpcError) as caught:
        stub(iter(sent.get, b"end"), timeout=30)

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    sent.put(b"end")


def test_without_a_model_none_is_found_and_the_server_is_as_ready_as_over_rest(
    locked: Both,
) -> None:
    refused = locked.grpc.fail("ModelInfer", IRIS, {"authorization": "Bearer predicts"})

    assert (refused.code, refused.details) == ("NOT_FOUND", "There is no model 'iris'.")
    reply = locked.grpc.call("ServerReady", message("ServerReadyRequest")()).message
    assert reply.ready is (locked.rest.get("/readyz").status_code == 200)


def test_a_message_over_the_limit_exhausts_a_resource_and_is_counted(both: Both) -> None:
    def count() -> float:
        return _metric(both, 'service_invalid_inputs_total{reason="body-too-large"}')

    before = count()
    large = message("ModelInferRequest")(raw_input_contents=[bytes(9 * 2**20)])

    refused = both.grpc.fail("ModelInfer", large)

    assert refused.code == "RESOURCE_EXHAUSTED"
    assert "8388608" in refused.details
    wait_until(lambda: count() == before + 1)


def test_a_compressed_message_is_read_and_held_to_the_same_limit(both: Both) -> None:
    stub = both.grpc.channel.unary_unary(INFER, None, None)
    large = message("ModelInferRequest")(raw_input_contents=[bytes(64 * 2**20)])

    assert stub(IRIS.SerializeToString(), compression=grpc.Compression.Gzip, timeout=30)
    with pytest.raises(grpc.RpcError) as caught:
        stub(large.SerializeToString(), compression=grpc.Compression.Gzip, timeout=30)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_request_id_comes_back_and_an_error_always_has_one(both: Both) -> None:
    assert (
        both.grpc.call("ModelInfer", IRIS, {"x-request-id": "mine"}).headers["x-request-id"]
        == "mine"
    )
    assert "x-request-id" not in both.grpc.call("ModelInfer", IRIS).headers
    wrong = infer_request({})
    assert (
        both.grpc.fail("ModelInfer", wrong, {"x-request-id": "it"}).trailers["x-request-id"] == "it"
    )
    assert len(both.grpc.fail("ModelInfer", wrong).trailers["x-request-id"]) == 32
    missing = message("ModelMetadataRequest")(name="nobody")
    refused = both.grpc.fail("ModelMetadata", missing, {"x-request-id": "it"})
    assert refused.trailers["x-request-id"] == "it"


def test_calls_are_counted_by_method_and_predictions_by_version(both: Both) -> None:
    def counts() -> list[float]:
        return [
            _metric(
                both, f'service_requests_total{{method="POST",route="{INFER[1:]}",status="{s}"}}'
            )
            for s in (200, 400, 404)
        ] + [
            _metric(both, 'service_instances_total{model="iris",version="1"}'),
            _metric(both, 'service_invalid_inputs_total{reason="invalid-input"}'),
        ]

    before = counts()
    both.grpc.call("ModelInfer", IRIS)
    both.grpc.fail("ModelInfer", infer_request({}))
    both.grpc.fail("ModelInfer", infer_request({}, "nobody"))

    assert [after - was for after, was in zip(counts(), before, strict=True)] == [1, 1, 1, 1, 1]


def _metric(both: Both, name: str) -> float:
    lines = both.rest.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def test_half_a_message_is_not_waited_for(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", grpc_port=free_port(), idle_seconds=0.2)
    sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    with serve(settings, FakeRegistry(tmp_path)), grpc_client(settings.grpc_port) as client:
        stub = client.channel.stream_unary(INFER, None, None)
        with pytest.raises(grpc.RpcError) as caught:
            stub(iter(sent.get, b"end"), timeout=30)

    sent.put(b"end")
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.details() == "The message did not arrive within 0.2 s."


def test_a_call_under_way_is_answered_when_the_service_ends_and_no_new_one_is(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "data", grpc_port=free_port())
    sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    with (
        running(settings, FakeRegistry(tmp_path)) as (server, rest),
        grpc_client(settings.grpc_port) as client,
    ):
        rest.train(name="iris", model_type="GaussianNB", dataset="iris")
        stub = client.channel.stream_unary(INFER, None, message("ModelInferResponse").FromString)
        client.call("ModelInfer", IRIS)  # so the channel is connected, and keeps calls in order
        under_way = stub.future(iter(sent.get, b"end"), timeout=30)
        client.call("ModelInfer", IRIS)  # so the one before has begun

        server.should_exit = True
        wait_until(lambda: code_of(client, "ServerLive") == "UNAVAILABLE")
        sent.put(IRIS.SerializeToString())
        sent.put(b"end")

        assert under_way.result().model_name == "iris"


def test_new_calls_are_refused_while_requests_over_http_are_still_answered(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "data", grpc_port=free_port())

    with (
        running(settings, FakeRegistry(tmp_path)) as (server, rest),
        grpc_client(settings.grpc_port) as client,
        connect(rest) as half,
    ):
        half.sendall(HEAD + b"content-length: 100\r\n\r\n{")
        assert rest.get("/healthz").status_code == 200  # so the half request has been read
        assert code_of(client, "ServerLive") == "OK"

        server.should_exit = True
        # Sooner than the half request is given up.
        wait_until(lambda: code_of(client, "ServerLive") == "UNAVAILABLE", seconds=5)


class Stuck(FakeClassifier):
    """A classifier that answers when the test lets it."""

    in_other_process = True

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.error: Exception | None = None

    def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        self.go.wait(30)
        if self.error is not None:
            raise self.error
        return super().labels(X)


def _serve_stuck(scene: Callable[[Stuck, Metrics, Any], Any]) -> Any:
    """Run a scene with a stuck classifier, the metrics, and a channel to a server of it."""

    async def run() -> Any:
        classifier, metrics, current_model = Stuck(), Metrics(), CurrentModel()
        classifier.go.set()
        current_model.swap(LoadedVersion(predictor_of(classifier), 1, ""))
        classifier.go.clear()
        answering = answering_of(current_model, Hold(), metrics)
        calls = Calls(None, metrics, idle_seconds=30, max_bytes=1000)
        handler = calls.handler("infer", Infer(answering, "infer"), ("POST", ""), counts=True)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await scene(classifier, metrics, channel.unary_unary(INFER))
        finally:
            classifier.go.set()
            await server.stop(None)
            answering.close()

    return asyncio.run(run())


ROW = infer_request(
    {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}, "m"
).SerializeToString()


def test_a_client_that_cancels_leaves_the_queue_and_others_are_answered() -> None:
    async def scene(classifier: Stuck, metrics: Metrics, infer: Any) -> tuple[bytes, float]:
        first, left = infer(ROW), infer(ROW)

        def in_flight() -> float:
            return metrics.registry.get_sample_value("service_predictions_in_flight") or 0

        async def both_wait() -> bool:
            return in_flight() == 2

        async def one_waits() -> bool:
            return in_flight() == 1

        await until(both_wait)
        left.cancel()
        await until(one_waits)
        classifier.go.set()
        return await first, in_flight()

    reply, in_flight = _serve_stuck(scene)

    assert message("ModelInferResponse").FromString(reply).model_name == "m"
    assert in_flight == 0


def test_a_defect_is_internal_and_its_log_alone_says_what(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(classifier: Stuck, _: Metrics, infer: Any) -> tuple[Any, str]:
        classifier.error = RuntimeError("a secret")
        classifier.go.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await infer(ROW)
        return caught.value.code(), caught.value.details() or ""

    code, details = _serve_stuck(scene)

    assert code is grpc.StatusCode.INTERNAL
    assert details == "The service met an internal error; its log has the request's id."
    assert "a secret" in caplog.text
