"""Reads the JSON body of `POST /outcomes`: its keys, the instances and their true labels."""

import json
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from service.api.outcome_schemas import OutcomesRequest
from service.api.request_body import invalid_body
from service.common.errors import InvalidInput, InvalidRequest, Problem
from service.common.outcomes import OutcomeCounts
from service.schema import strict_json
from service.schema.explanation import MOST
from service.schema.labels import Labels, refuse_labels
from service.serving.file_predictions import Deadline, Watch
from service.serving.outcomes import count
from service.serving.predictor import Predictor
from service.serving.quality import Ints


def read_body(body: bytes, max_depth: int, max_rows: int) -> OutcomesRequest:
    """Read a body; raises InvalidRequest with what is wrong with its keys, or BodyTooLarge.

    A key of the request that is null is as one that is left out.
    """
    value = strict_json.parse(body, max_depth, max_rows)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", [Problem("", "must be an object")])
    known = OutcomesRequest.model_fields
    sent = {key: item for key, item in value.items() if item is not None or key not in known}
    try:
        return OutcomesRequest.model_validate(sent)
    except ValidationError as error:
        raise invalid_body(error, OutcomesRequest) from None


def answer_beside_truth(
    predictor: Predictor, body: OutcomesRequest, deadline: Deadline, watch: Watch
) -> OutcomeCounts:
    """Have a version answer the instances, and count the right answers.

    `watch` is called with the rows, their true classes and the answers. Raises InvalidInput with
    all that is wrong with the instances and labels.
    """
    labels = Labels(predictor.schema.classes)
    codes = [labels.code(label) for label in body.labels]
    wrong = [place for place, code in enumerate(codes) if code is None]
    matrix, error = None, None
    try:
        # Written as JSON again, so that the decoder of predictions reads and checks them.
        matrix, _ = predictor.decoder.decode(_written(body.instances))
    except InvalidInput as refused:
        error = refused
    if matrix is None or wrong:
        pointers = {f"/labels/{at}": labels.refusal(body.labels[at]) for at in wrong[:MOST]}
        raise refuse_labels(pointers, len(wrong), len(codes), error)
    truth: Ints = np.array(codes, np.int64)
    found, probabilities = predictor.classification.classify(
        matrix, predictor.classifier.has_probabilities, check=deadline.check
    )
    watch(matrix, truth, found)
    return count(predictor.schema, truth, found, probabilities)


def _written(instances: list[Any]) -> bytes:
    try:
        return orjson.dumps({"instances": instances})
    except TypeError:  # a whole number of more than 64 bits
        return json.dumps({"instances": instances}).encode()
