"""gRPC through the Service, as a client in the cluster speaks it."""

import grpc
import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.forward import Forward
from tests.support.grpc_client import grpc_client, infer_request, values_of

GRPC_PORT = 8081
ROW = [5.1, 3.5, 1.4, 0.2]


def test_a_row_is_answered_over_grpc_as_by_predict(
    release: Cluster, api: httpx.Client, iris: int
) -> None:
    """The port of the Service is open to whom HTTP is, and the answer is the same to the bit."""
    own = api.post("/predict", json={"instances": [ROW], "probabilities": True}).json()
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": ROW}
    outputs = [{"name": "predict"}, {"name": "predict_proba"}]
    with (
        Forward(release, f"service/{release.name('api')}", GRPC_PORT) as forward,
        grpc_client(forward.port) as client,
    ):
        grpc.channel_ready_future(client.channel).result(timeout=60)  # the forward takes a moment
        request = infer_request({"inputs": [tensor], "outputs": outputs})
        reply = client.call("ModelInfer", request).message

    assert reply.model_version == str(iris)
    values = values_of(reply)
    assert values["predict"] == own["predictions"]
    assert values["predict_proba"] == pytest.approx(own["probabilities"][0], abs=0)
