"""Reads the JSON body of `POST /outcomes`: its keys, the instances and their true labels."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from service.api.parameters import MODEL_NAMES, NAMES
from service.common.did_you_mean import did_you_mean
from service.common.domain import is_model_name, is_name
from service.common.errors import BodyTooLarge, InvalidInput, InvalidRequest, Problem, escape
from service.common.outcomes import OutcomeCounts
from service.schema import strict_json
from service.schema.explanation import MOST
from service.schema.labels import Labels, refuse_labels
from service.serving.file_predictions import Deadline, Watch
from service.serving.outcomes import count
from service.serving.predictor import Predictor
from service.serving.quality import Ints

KEYS = ("name", "version", "instances", "labels", "append_to")
_MOST_VERSION = 999_999_999


@dataclass(frozen=True, slots=True)
class OutcomeBody:
    """A body with the right keys and types; its instances and labels are not checked yet."""

    name: str | None
    version: int
    instances: list[Any]
    labels: list[Any]
    append_to: str | None = None


def read_body(body: bytes, max_depth: int, max_rows: int) -> OutcomeBody:
    """Read a body; raises InvalidRequest with what is wrong with its keys, or BodyTooLarge."""
    value = strict_json.parse(body, max_depth, max_rows)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", [Problem("", "must be an object")])
    sent = {key: item for key, item in value.items() if item is not None}
    problems = [
        Problem(f"/{escape(key)}", f"is not a key of this request{did_you_mean(key, KEYS)}")
        for key in value
        if key not in KEYS
    ]
    name, version, append_to = sent.get("name"), sent.get("version"), sent.get("append_to")
    if name is not None and not (isinstance(name, str) and is_model_name(name)):
        problems.append(Problem("/name", MODEL_NAMES))
    if append_to is not None and not (isinstance(append_to, str) and is_name(append_to)):
        problems.append(Problem("/append_to", NAMES))
    if version is None:
        problems.append(Problem("/version", "is missing: name the version that answered"))
    elif type(version) is not int or not 1 <= version <= _MOST_VERSION:
        problems.append(Problem("/version", "must be a whole number, 1 or more"))
    instances, labels = sent.get("instances"), sent.get("labels")
    for key, item in (("instances", instances), ("labels", labels)):
        if item is None:
            problems.append(Problem(f"/{key}", "is missing"))
        elif not isinstance(item, list):
            problems.append(Problem(f"/{key}", f"must be a list of {key}"))
        elif not item:
            problems.append(Problem(f"/{key}", "is empty"))
        elif len(item) > max_rows:
            raise BodyTooLarge(f"The number of {key}", max_rows, "rows")
    if isinstance(instances, list) and isinstance(labels, list) and len(instances) != len(labels):
        message = f"has {len(labels):,} labels for {len(instances):,} instances"
        problems.append(Problem("/labels", message))
    if problems:
        first = problems[0]
        end = "" if first.message.endswith("?") else "."
        raise InvalidRequest(f"{first.pointer.lstrip('/')} {first.message}{end}", problems[:MOST])
    assert isinstance(version, int)
    assert isinstance(instances, list)
    assert isinstance(labels, list)
    return OutcomeBody(name, version, instances, labels, append_to)


def answer_beside_truth(
    predictor: Predictor, body: OutcomeBody, deadline: Deadline, watch: Watch
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
