"""Labels and probabilities as a ModelInferResponse."""

from typing import Any

import numpy as np

from service.api.inference.replies import OutputEncoder, binary_numbers
from service.api.inference.requests import PREDICT, InferRequest
from service.grpc.messages import message
from service.models.classifier import Floats, Labels

_Response = message("ModelInferResponse")


def write_reply(
    encoder: OutputEncoder,
    request: InferRequest,
    is_raw: bool,
    labels: Labels,
    chances: Floats | None,
) -> bytes:
    """Return the reply to N rows: class indexes [N] and, if asked for, probabilities [N, K].

    Where `is_raw`, all data is in raw_output_contents, as it was in the request.
    """
    reply = _Response(model_name=encoder.name, model_version=str(encoder.version))
    if request.id is not None:
        reply.id = request.id
    for wanted in request.outputs:
        if wanted.name == PREDICT:
            shape = (len(labels), 1)
            output = reply.outputs.add(name=PREDICT, shape=shape, datatype=encoder.datatype)
            if is_raw:
                reply.raw_output_contents.append(encoder.binary(labels))
            else:
                _add_labels(output.contents, encoder, labels)
        else:
            assert chances is not None
            output = reply.outputs.add(name=wanted.name, shape=chances.shape, datatype="FP64")
            if is_raw:
                reply.raw_output_contents.append(binary_numbers(chances))
            else:
                output.contents.fp64_contents.extend(np.ravel(chances).tolist())
    return bytes(reply.SerializeToString())


def _add_labels(contents: Any, encoder: OutputEncoder, labels: Labels) -> None:
    items = encoder.items(labels)
    if encoder.datatype == "BOOL":
        contents.bool_contents.extend(items)
    elif encoder.datatype == "INT64":
        contents.int64_contents.extend(items)
    else:
        contents.bytes_contents.extend([item.encode() for item in items])
