"""A child that serves one classifier: loads it, then answers until its connections are closed."""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from socket import socket
from time import thread_time
from typing import Any

import numpy as np
import orjson

from service.models.classifier import Classifier, Floats, Labels
from service.processes.protocol import Head, Kind, receive_bytes, receive_floats, receive_head, send
from service.worker.sklearn_models.classifier import load_native

_LOADING_NICENESS = 10


def serve(connections: Sequence[socket]) -> None:
    """Load what the first connection brings, then answer on all of them until they are closed."""
    loaded: Future[Classifier | None] = Future()
    threads = [
        threading.Thread(target=_answer_when_loaded, args=(connection, loaded))
        for connection in connections
    ]
    for thread in threads:
        thread.start()
    # Linux gives priorities to threads. Loading must not take the processor from the model that is
    # in use meanwhile; the threads above, which answer, keep the priority of the service.
    os.nice(_LOADING_NICENESS)
    try:
        loaded.set_result(_load(connections[0]))
    except (OSError, EOFError):
        loaded.set_result(None)  # it was let go before it was loaded
    for thread in threads:
        thread.join()


def _answer_when_loaded(connection: socket, loaded: "Future[Classifier | None]") -> None:
    classifier = loaded.result()
    if classifier is not None:
        answer_all(connection, classifier)


def _load(connection: socket) -> Classifier | None:
    head = receive_head(connection)
    names = orjson.loads(receive_bytes(connection, head.first))
    data = bytes(receive_bytes(connection, head.second))
    try:
        classifier = load_native(data, names)
    except Exception as error:
        _tell(connection, error)
        return None
    facts = {
        "pid": os.getpid(),
        "classes": len(classifier.classes),
        "has_probabilities": classifier.has_probabilities,
        "may_label_nan": classifier.may_label_nan,
    }
    told = orjson.dumps(facts)
    send(connection, Head(Kind.LOADED, 0.0, len(told), 0), [told])
    return classifier


def answer_all(connection: socket, classifier: Classifier) -> None:
    """Answer on one connection until it is closed."""
    try:
        while True:
            ask = _receive(connection)
            start = thread_time()
            try:
                matrix, probabilities = ask()
                labels, rows = _answer(classifier, matrix, probabilities)
            except Exception as error:
                _tell(connection, error, thread_time() - start)
                continue
            seconds = thread_time() - start
            if rows is None:
                send(connection, Head(Kind.ANSWER, seconds, len(matrix), 0), [labels])
            else:
                head = Head(Kind.ANSWER, seconds, len(matrix), rows.shape[1])
                send(connection, head, [labels, rows])
    except (OSError, EOFError):
        connection.close()


def _receive(connection: socket) -> Callable[[], tuple[Floats, bool]]:
    """Receive a question; what is given finds its rows, and whether probabilities are asked."""
    head = receive_head(connection)
    if head.kind == Kind.FILE:
        asked = orjson.loads(receive_bytes(connection, head.first))
        return lambda: (_mapped(asked), asked["probabilities"])
    matrix = receive_floats(connection, head.first, head.second)
    return lambda: (matrix, head.kind == Kind.PROBABILITIES)


def _mapped(asked: Mapping[str, Any]) -> Floats:
    matrix: Floats = np.load(asked["path"], mmap_mode="r", allow_pickle=False)
    return np.asarray(matrix[asked["first"] : asked["end"]])


def _answer(
    classifier: Classifier, matrix: Floats, probabilities: bool
) -> tuple[Labels, Floats | None]:
    if not probabilities:
        return np.ascontiguousarray(classifier.labels(matrix)), None
    labels, rows = classifier.labels_and_probabilities(matrix)
    return np.ascontiguousarray(labels), np.ascontiguousarray(rows, np.float64)


def _tell(connection: socket, error: Exception, seconds: float = 0.0) -> None:
    """Answer with an error: the client's, or a defect, which the log shows as well."""
    kind = Kind.REFUSED if isinstance(error, ValueError) else Kind.DEFECT
    if kind is Kind.DEFECT:
        traceback.print_exception(error, file=sys.stderr)
    sentence = f"{type(error).__name__}: {error}" if kind is Kind.DEFECT else str(error)
    told = sentence.encode("utf-8", "replace")
    send(connection, Head(kind, seconds, len(told), 0), [told])
