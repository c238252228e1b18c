"""A worker that serves one classifier: it loads it, then answers until it is let go."""

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from socket import socket
from time import thread_time

import numpy as np
import orjson

from service.models.classifier import Classifier, Floats, answer
from service.processes.protocol import Kind, Message, receive, send_answer, send_text
from service.worker.sklearn_models.classifier import load_native

_LOADING_NICENESS = 10


def serve(sockets: Sequence[socket]) -> None:
    """Load the classifier that the first connection brings, then answer on all of them.

    Return when all are closed.
    """
    connections = [Connection(end.detach()) for end in sockets]
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
        loaded.set_result(None)  # It was let go before it was loaded.
    for thread in threads:
        thread.join()


def _answer_when_loaded(connection: Connection, loaded: "Future[Classifier | None]") -> None:
    classifier = loaded.result()
    if classifier is not None:
        answer_all(connection, classifier)


def _load(connection: Connection) -> Classifier | None:
    names = orjson.loads(connection.recv_bytes())
    data = connection.recv_bytes()
    try:
        classifier = load_native(data, names)
    except Exception as error:
        _send_error(connection, error)
        return None
    info = {
        "pid": os.getpid(),
        "classes": len(classifier.classes),
        "has_probabilities": classifier.has_probabilities,
        "may_label_nan": classifier.may_label_nan,
    }
    send_text(connection, Kind.LOADED, orjson.dumps(info))
    return classifier


def answer_all(connection: Connection, classifier: Classifier) -> None:
    """Answer on one connection until it is closed."""
    try:
        while True:
            request = receive(connection)
            start = thread_time()
            try:
                labels, probabilities = answer(classifier, *_rows_of(request))
            except Exception as error:
                _send_error(connection, error, thread_time() - start)
            else:
                send_answer(connection, thread_time() - start, labels, probabilities)
    except (OSError, EOFError):
        connection.close()


def _rows_of(request: Message) -> tuple[Floats, bool]:
    """Return the rows to classify, and whether probabilities are asked for."""
    if request.kind != Kind.FILE:
        # A copy, because some classifiers take no array that is read-only.
        return request.floats().copy(), request.kind == Kind.PROBABILITIES
    file = orjson.loads(request.text)
    matrix: Floats = np.load(file["path"], mmap_mode="r", allow_pickle=False)
    return np.asarray(matrix[file["first"] : file["end"]]), file["probabilities"]


def _send_error(connection: Connection, error: Exception, seconds: float = 0.0) -> None:
    """Answer with an error: the client's, or a defect, which the log shows as well."""
    if isinstance(error, ValueError):
        kind, sentence = Kind.REFUSED, str(error)
    else:
        kind, sentence = Kind.DEFECT, f"{type(error).__name__}: {error}"
        traceback.print_exception(error, file=sys.stderr)
    send_text(connection, kind, sentence.encode("utf-8", "replace"), seconds)
