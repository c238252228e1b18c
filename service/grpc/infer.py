"""ModelInfer: found, admitted and answered as every other request for predictions."""

from time import perf_counter
from typing import Any

from service.api.answering import Answering
from service.api.inference.codec import InferenceCodec
from service.api.predict_replies import PredictReplies
from service.common.errors import InvalidInput, ServiceError
from service.grpc.calls import Call, Refused
from service.grpc.messages import message
from service.grpc.requests import CONTENTS, MessageReader, parsed
from service.grpc.statuses import as_details
from service.serving.served_model import ServedModel

_Target = message("InferTarget")
_Request = message("ModelInferRequest")


class Infer:
    """The method."""

    def __init__(self, answering: Answering, route: str) -> None:
        """`route` is what metrics call it."""
        self._answering = answering
        self._answers = PredictReplies(answering.metrics, route, as_details, _explain)

    async def __call__(self, call: Call, body: bytes) -> bytes:
        """Answer one message; raises Refused."""
        served: ServedModel | None = None
        try:
            target = parsed(_Target, body, _Request)
            served = await self._answering.find(
                target.model_name, target.model_version or None, call.headers
            )
            assert served is not None
            reader = MessageReader(served.codec(InferenceCodec))
            reply, rows = await self._answering.answer(served.predictor, reader, body)
        except ServiceError as error:
            raise Refused(
                *self._answers.refusal(error, served, call.id.encode(), call.start)
            ) from error
        except Exception as error:
            # The edge of the method: anything else is a defect of the service.
            answer = self._answers.defect(error, served, call.id.encode(), call.start)
            raise Refused(answer) from error
        await call.send_headers(served.model_headers)
        served.ok(perf_counter() - call.start, rows)
        self._answers.predicted(1)
        return reply


def _explain(_: InvalidInput, served: ServedModel) -> dict[str, Any]:
    return {"example": example(served)}


def example(served: ServedModel) -> Any:
    """Return a message that a version takes."""
    shown = served.codec(InferenceCodec).example
    request = _Request(model_name=served.loaded.name, model_version=str(served.loaded.version))
    for name, value in shown.get("parameters", {}).items():
        request.parameters.add(key=name).value.string_param = value
    for item in shown["inputs"]:
        tensor = request.inputs.add(
            name=item["name"], datatype=item["datatype"], shape=item["shape"]
        )
        values = item["data"]
        if item["datatype"] == "BYTES":
            values = [text.encode() for text in values]
        getattr(tensor.contents, CONTENTS[item["datatype"]]).extend(values)
    return request
