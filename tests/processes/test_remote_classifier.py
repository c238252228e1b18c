"""A classifier in a worker process: its answers, its end, and its restart."""

import gc
import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any, Literal, cast

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.svm import LinearSVC

from service.common.errors import ClassifierUnavailable, WorkerCrashed, WorkersUnavailable
from service.processes.connection import ClassifierInfo, Defect, WorkerConnection
from service.processes.job import WorkerProcess
from service.processes.messages import Crashed, Outcome
from service.processes.pool import WorkerPool
from service.processes.remote_classifier import Backoff, RemoteClassifier
from service.serving.core_pool import CorePool
from service.worker.classify_server import answer_all
from service.worker.sklearn_models.classifier import load_native
from tests.support.pipelines import fit, iris
from tests.support.waiting import stop, wait_until
from tests.support.zoo import native

IRIS = iris()
X = IRIS.frame.to_numpy()


def stored(classifier: Any) -> bytes:
    return bytes(skops.io.dumps(fit(IRIS, classifier)))


NEAR = stored(KNeighborsClassifier())
MARK = "what no worker may see"


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    workers = WorkerPool()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICE_PEER_KEY", MARK)
        workers.warm()
    yield workers
    workers.close()


def served(workers: WorkerPool, data: bytes = NEAR, **more: Any) -> RemoteClassifier:
    return RemoteClassifier(workers, "near version 1", lambda: data, IRIS.names, **more)


def pid_of(classifier: RemoteClassifier) -> int:
    return wait_until(lambda: classifier.connection).info.pid


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# Answers


@pytest.mark.parametrize("name", native())
def test_a_worker_answers_bit_by_bit_as_the_classifier_itself(
    workers: WorkerPool, name: str
) -> None:
    data = stored(native()[name].classifier)
    here, there = load_native(data, IRIS.names), served(workers, data)
    rows = np.asfortranarray(np.concatenate([X, X * 1.7, X[:1] * 1e9]))

    assert there.has_probabilities == here.has_probabilities
    assert there.may_label_nan == here.may_label_nan
    assert there.labels(rows).tobytes() == here.labels(rows).tobytes()
    if here.has_probabilities:
        labels, probabilities = here.labels_and_probabilities(rows)
        remote_labels, remote_probabilities = there.labels_and_probabilities(rows)
        assert remote_labels.tobytes() == labels.tobytes()
        assert remote_probabilities.tobytes() == np.ascontiguousarray(probabilities).tobytes()


def test_rows_that_the_classifier_cannot_take_get_the_same_error_message(
    workers: WorkerPool,
) -> None:
    data = stored(RadiusNeighborsClassifier(radius=1e-9, outlier_label="zz"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="none of its classes") as here:
            load_native(data, IRIS.names).labels(X + 0.1)
    classifier = served(workers, data)

    with pytest.raises(ValueError, match="none of its classes") as there:
        classifier.labels(X + 0.1)
    with pytest.raises(ValueError, match="no probabilities"):
        served(workers, stored(LinearSVC())).labels_and_probabilities(X)

    assert str(there.value) == str(here.value)
    assert classifier.labels(X).tolist() == np.unique(IRIS.y, return_inverse=True)[1].tolist()


def test_its_clock_counts_the_workers_time_for_this_thread(workers: WorkerPool) -> None:
    classifier = served(workers)
    rows = np.repeat(X, 20, axis=0)
    start, own = classifier.clock(), thread_time()

    with ThreadPoolExecutor(1) as other:
        other.submit(classifier.labels, rows).result()
    assert classifier.clock() - start < thread_time() - own + 0.001
    classifier.labels(rows)

    assert classifier.clock() - start > thread_time() - own + 0.001


def test_many_threads_get_their_own_answers(workers: WorkerPool) -> None:
    classifier = served(workers)
    expected = classifier.labels(X)

    def ask(index: int) -> bool:
        part = slice(index % 140, index % 140 + 7)
        return bool((classifier.labels(X[part]) == expected[part]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_a_matrix_that_lies_in_a_file_are_answered_as_those_that_are_sent(
    workers: WorkerPool, tmp_path: Path, order: Literal["C", "F"]
) -> None:
    classifier = served(workers)
    np.save(tmp_path / "matrix.npy", np.asarray(X, order=order))
    rows = slice(7, 93)

    labels, none = classifier.of_file(tmp_path / "matrix.npy", rows, False)
    again, probabilities = classifier.of_file(tmp_path / "matrix.npy", rows, True)

    expected, expected_probabilities = classifier.labels_and_probabilities(X[rows])
    assert none is None
    assert labels.tolist() == again.tolist() == expected.tolist()
    assert probabilities is not None
    assert np.array_equal(probabilities, expected_probabilities)


def test_a_file_that_is_not_there_is_a_defect_that_the_worker_survives(
    workers: WorkerPool, tmp_path: Path
) -> None:
    classifier = served(workers)

    with pytest.raises(Defect, match="FileNotFoundError"):
        classifier.of_file(tmp_path / "none.npy", slice(0, 5), False)
    assert len(classifier.labels(X)) == len(X)


class FakeClassifier:
    """Runs a test's function before it answers the first class."""

    has_probabilities = False
    may_label_nan = False
    in_other_process = False
    ready = True
    clock = staticmethod(thread_time)

    def __init__(self, first: Callable[[], object]) -> None:
        self.first = first

    def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        self.first()
        return np.zeros(len(X), np.int64)

    def labels_and_probabilities(
        self, X: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self.labels(X), np.ones((len(X), 1))


def connection_to(classifier: FakeClassifier) -> WorkerConnection:
    """Return two connections that are served by threads of this process."""
    pairs = [socket.socketpair() for _ in range(2)]
    for _, theirs in pairs:
        connection = Connection(theirs.detach())
        threading.Thread(target=answer_all, args=(connection, classifier)).start()
    worker = WorkerConnection(worker_process(), [ours for ours, _ in pairs])
    worker.info = ClassifierInfo(1, 1, False, False)
    return worker


def worker_process() -> WorkerProcess:
    return WorkerProcess(1, 1, lambda _: None)


def test_two_calls_are_computed_at_one_time() -> None:
    connection = connection_to(FakeClassifier(threading.Barrier(2, timeout=30).wait))

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: connection.ask(X, False)[1], range(2)))

    assert [answer.tolist() for answer in answers] == [[0] * len(X)] * 2
    connection.close()


def test_a_defect_in_the_worker_is_no_clients_fault_and_stops_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    classifier = FakeClassifier(lambda: 1 / 0)
    connection = connection_to(classifier)

    with pytest.raises(Defect, match="ZeroDivisionError"):
        connection.ask(X, False)

    assert "Traceback" in capfd.readouterr().err
    classifier.first = bool
    assert connection.ask(X, False)[1].tolist() == [0] * len(X)
    connection.close()


def test_an_answer_to_another_question_is_rejected() -> None:
    connection = connection_to(FakeClassifier(bool))
    assert connection.ask(X, True)[2] is not None
    connection.info = ClassifierInfo(1, 3, True, False)

    with pytest.raises(EOFError):
        connection.ask(X, True)
    connection.close()


def test_single_rows_are_not_starved_by_a_file_of_many_parts(workers: WorkerPool) -> None:
    classifier = served(workers)
    part = np.tile(X, (20, 1))
    parts = 200
    done: list[int] = []

    def answer_file() -> None:
        with closing(CorePool(2)) as cores:
            cores.map(lambda index: done.append(len(classifier.labels(part)) + index), range(parts))

    meanwhile: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        file = pool.submit(answer_file)
        wait_until(lambda: len(done) > 3)
        while len(done) < parts - 10:
            before = len(done)
            classifier.labels(X[:1])
            meanwhile.append(len(done) - before)
        file.result(60)

    # A row waits for the parts that are being computed; a busy machine may delay a few longer.
    assert median(meanwhile) <= 10


# The process


def test_it_answers_at_the_services_priority_without_a_limit_of_time_and_has_no_secret(
    workers: WorkerPool,
) -> None:
    classifier = served(workers)
    pid = pid_of(classifier)

    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    niceness = {thread: os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
    # The first thread loads and then waits for the two that answer; OpenMP and BLAS start none.
    assert niceness.pop(pid) == os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert [*niceness.values()] == [os.getpriority(os.PRIO_PROCESS, 0)] * 2
    assert resource.prlimit(pid, resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert MARK.encode() not in environment
    assert b"OMP_NUM_THREADS=1" in environment


def test_a_file_that_is_not_trusted_is_refused_and_leaves_no_process(workers: WorkerPool) -> None:
    before = workers.workers

    with pytest.raises(ValueError, match="not a skops file"):
        served(workers, pickle.dumps(KNeighborsClassifier()))

    wait_until(lambda: workers.workers <= before)


class FakeWorkers(WorkerPool):
    """Starts workers that end immediately."""

    def __init__(self, outcome: Outcome | None) -> None:
        """Without an outcome, their host ends before them."""
        super().__init__()
        self.outcome = outcome

    def serve(self, connections: int) -> tuple[WorkerProcess, list[socket.socket]]:
        pairs = [socket.socketpair() for _ in range(connections)]
        for _, theirs in pairs:
            theirs.close()
        worker = worker_process()
        if self.outcome is None:
            worker.outcome.set_exception(WorkersUnavailable())
        else:
            worker.outcome.set_result(self.outcome)
        return worker, [ours for ours, _ in pairs]


def test_a_file_whose_loading_ends_the_process_is_refused() -> None:
    crashed = Crashed("It was ended by SIGSEGV.")
    with pytest.raises(ValueError, match="ended by SIGSEGV"):
        served(FakeWorkers(crashed))
    with pytest.raises(WorkersUnavailable):
        served(FakeWorkers(None))


def test_a_file_is_not_blamed_when_the_kernel_kills_the_process_that_loads_it() -> None:
    with pytest.raises(WorkerCrashed, match="no memory left"):
        served(FakeWorkers(Crashed("The machine has no memory left.", was_killed=True)))


@pytest.mark.slow
def test_serving_a_native_classifier_imports_no_scikit_learn() -> None:
    code = """
import json, sys
from service.processes.remote_classifier import RemoteClassifier
from service.processes.pool import WorkerPool
from service.serving.predictor import Predictor
from service.schema.contract import Feature, Schema
from service.schema.decoder import Limits
data = sys.stdin.buffer.read()
workers = WorkerPool()
names = json.loads(sys.argv[1])
classifier = RemoteClassifier(workers, "near", lambda: data, names)
features = tuple(Feature(name, "number") for name in names)
predictor = Predictor("near", 1, Schema(features, ("a", "b", "c")), classifier, Limits())
predictor.warm()
print(predictor.predict(b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'))
print([m for m in ("sklearn", "skops", "scipy", "pandas", "joblib") if m in sys.modules])
workers.close()
"""
    command = [sys.executable, "-c", code, json.dumps(IRIS.names)]
    run = subprocess.run(command, input=NEAR, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    answer, modules = run.stdout.decode().splitlines()
    assert '"predictions":["a"]' in answer
    assert modules == "[]"


# End and restart


def test_a_worker_ends_when_the_classifier_is_no_longer_referenced(workers: WorkerPool) -> None:
    gc.disable()  # it must not need a garbage collection
    try:
        classifier = served(workers)
        pid = pid_of(classifier)
        classifier.labels(X)
        del classifier
        wait_until(lambda: is_gone(pid))
    finally:
        gc.enable()


def test_a_worker_that_is_killed_costs_its_requests_an_error_and_comes_back(
    workers: WorkerPool,
) -> None:
    lost: list[int] = []
    classifier = served(workers, lost=lambda: lost.append(1))
    beside = served(workers)
    pid, expected = pid_of(classifier), classifier.labels(X)
    stop(pid)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(classifier.labels, X) for _ in range(2)]
        connection = classifier.connection
        assert connection is not None
        wait_until(lambda: connection.queue.lent == 2)
        os.kill(pid, signal.SIGKILL)

        for call in calls:
            with pytest.raises(ClassifierUnavailable):
                call.result(30)

    wait_until(lambda: classifier.ready)
    assert classifier.labels(X).tolist() == expected.tolist()
    assert pid_of(classifier) != pid
    assert beside.labels(X).tolist() == expected.tolist()
    assert lost == [1]


def test_a_worker_that_is_killed_while_idle_is_restarted(workers: WorkerPool) -> None:
    classifier = served(workers)
    pid = pid_of(classifier)

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: classifier.ready and pid_of(classifier) != pid)
    assert (classifier.labels(X) == classifier.labels(X)).all()


def test_a_worker_that_hangs_is_killed_and_replaced(workers: WorkerPool) -> None:
    classifier = served(workers, seconds=0.2)
    pid = pid_of(classifier)
    stop(pid)

    with pytest.raises(ClassifierUnavailable):
        classifier.labels(X[:1])

    wait_until(lambda: is_gone(pid))
    wait_until(lambda: classifier.ready)
    assert len(classifier.labels(X[:1])) == 1


def test_no_worker_is_restarted_for_a_released_classifier(workers: WorkerPool) -> None:
    started: list[int] = []

    def source() -> bytes:
        started.append(1)
        return NEAR

    classifier = RemoteClassifier(workers, "near", source, IRIS.names)
    pid = pid_of(classifier)
    del classifier
    wait_until(lambda: is_gone(pid))

    assert started == [1]


def test_a_worker_that_keeps_ending_is_restarted_less_and_less_often() -> None:
    pauses = Backoff()

    assert [pauses.after(0.1) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert [pauses.after(61), pauses.after(0.1)] == [0, 1]


def test_nothing_is_left_of_many_classifiers(workers: WorkerPool) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    kept = served(workers)
    before, others = files(), workers.workers
    for _ in range(20):
        assert len(served(workers).labels(X[:3])) == 3

    wait_until(lambda: workers.workers <= others)
    assert files() <= before  # processes of earlier tests may end meanwhile
    assert cast(Any, kept.labels(X[:1])).size == 1


@pytest.mark.slow
def test_a_host_that_is_killed_takes_its_workers_along_and_they_come_back(
    workers: WorkerPool,
) -> None:
    classifier = served(workers)
    pid, expected = pid_of(classifier), classifier.labels(X)
    assert workers.host is not None

    os.kill(workers.host, signal.SIGKILL)

    wait_until(lambda: is_gone(pid))
    wait_until(lambda: classifier.ready and pid_of(classifier) != pid)
    assert classifier.labels(X).tolist() == expected.tolist()
