"""Many rows are answered by scikit-learn in a worker if that is faster, else by the graph."""

import gc
import os
import re
import signal
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from service.common.errors import WorkersUnavailable
from service.models.classifier import Classifier
from service.serving.alternate import MANY, Alternate
from tests.support.classifiers import ClockedClassifier
from tests.support.fakes import FakeRegistry
from tests.support.server import serve, settings_for
from tests.support.waiting import wait_until


class Scene:
    """A graph and a worker on a fake clock, each with its seconds per row."""

    def __init__(self, graph_row: float, worker_row: float, idle_seconds: float = 0) -> None:
        self.now = 0.0
        self.rows = {"graph": graph_row, "worker": worker_row}
        self.graph, self.worker = ClockedClassifier(0, 0), ClockedClassifier(0, 0)
        self.started = 0
        self.trouble: Exception | None = None
        self.alternate = Alternate("m", self._start, idle_seconds, lambda: self.now)

    def _start(self) -> Classifier:
        self.started += 1
        if self.trouble is not None:
            raise self.trouble
        return self.worker

    def ask(self, rows: int = MANY) -> str:
        """Predict this many rows, and return whether the graph or the worker did it."""

        def ask(classifier: Classifier) -> str:
            who = "worker" if classifier is self.worker else "graph"
            if who == "worker" and self.trouble is not None:
                raise self.trouble
            self.now += rows * self.rows[who]
            return who

        return self.alternate.answer(self.graph, rows, ask)

    def wait_for_worker(self) -> None:
        wait_until(lambda: not _runs("alternate"))


def _runs(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


def test_the_graph_answers_until_the_worker_is_there_and_the_faster_one_afterwards() -> None:
    scene = Scene(graph_row=3e-6, worker_row=1e-6)

    first = scene.ask()
    scene.wait_for_worker()

    assert first == "graph"
    asked = [scene.ask() for _ in range(63)]
    assert asked.count("worker") >= 59
    assert "graph" in asked[3:]
    assert scene.started == 1


def test_a_worker_that_proves_slower_is_asked_now_and_then() -> None:
    scene = Scene(graph_row=3e-6, worker_row=4e-6)
    scene.ask()
    scene.wait_for_worker()

    asked = [scene.ask() for _ in range(63)]

    assert asked[:3] == ["worker"] * 3
    assert asked[3:].count("worker") == 4
    scene.rows["worker"] = 1e-6
    assert [scene.ask() for _ in range(32)][-15:-1] == ["worker"] * 14
    assert scene.started == 1


def test_what_the_graph_answers_fast_starts_no_worker() -> None:
    scene = Scene(graph_row=1e-7, worker_row=1e-9)

    assert [scene.ask() for _ in range(3)] == ["graph"] * 3
    assert scene.started == 0


@pytest.mark.parametrize("trouble", [WorkersUnavailable(), RuntimeError("a defect")])
def test_the_graph_answers_where_the_worker_fails_or_is_not_ready(trouble: Exception) -> None:
    scene = Scene(graph_row=3e-6, worker_row=1e-6)
    scene.ask()
    scene.wait_for_worker()

    scene.trouble = trouble
    lost = scene.ask()
    scene.trouble = None
    scene.worker.ready = False
    absent = scene.ask()
    scene.worker.ready = True

    assert [lost, absent, scene.ask()] == ["graph", "graph", "worker"]


@pytest.mark.parametrize("trouble", [WorkersUnavailable(), ValueError("another label")])
def test_a_worker_that_cannot_be_had_is_not_tried_again(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(graph_row=3e-6, worker_row=1e-6)
    scene.trouble = trouble

    scene.ask()
    scene.wait_for_worker()

    assert [scene.ask(), scene.ask()] == ["graph", "graph"]
    assert scene.started == 1
    assert str(trouble) in caplog.text


def test_what_is_wrong_with_the_rows_is_told_whoever_finds_it() -> None:
    scene = Scene(graph_row=3e-6, worker_row=1e-6)
    scene.ask()
    scene.wait_for_worker()

    scene.trouble = ValueError("a number is too large")

    with pytest.raises(ValueError, match="too large"):
        scene.ask()


def test_an_idle_worker_is_let_go_and_brought_again_when_many_rows_come() -> None:
    scene = Scene(graph_row=3e-6, worker_row=1e-6, idle_seconds=0.01)
    scene.ask()
    scene.wait_for_worker()

    wait_until(lambda: scene.alternate.worker is None)

    assert scene.ask() == "graph"
    scene.wait_for_worker()
    assert scene.started == 2


def test_a_version_that_nobody_holds_is_not_kept_by_the_wait_for_its_worker_to_be_idle() -> None:
    scene = Scene(graph_row=3e-6, worker_row=1e-6, idle_seconds=1000)
    scene.ask()
    scene.wait_for_worker()
    alternate = weakref.ref(scene.alternate)

    del scene
    gc.collect()

    assert alternate() is None


@pytest.mark.slow
def test_rows_get_the_same_answers_from_the_graph_and_from_the_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = np.random.default_rng(0).uniform(0, 8, (1000, 4)).round(2).astype(str).tolist()
    csv = {"content-type": "text/csv", "accept": "text/csv"}
    caplog.set_level("INFO", "service.processes.remote_classifier")
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        client.train(dataset="iris", model_type="RandomForestClassifier", use=True)
        names = [feature["name"] for feature in client.get("/schema").json()["features"]]
        # Enough rows that the graph exceeds its time limit on any machine.
        rows = "\n".join([",".join(names), *(",".join(line) for line in lines * 200)])

        def ask() -> bytes:
            response = client.post(
                "/predict", params={"probabilities": "true"}, content=rows, headers=csv
            )
            assert response.status_code == 200, response.text
            return response.content

        by_graph = ask()
        (pid,) = wait_until(lambda: re.findall(r"process (\d+) serves", caplog.text))
        by_worker = [ask() for _ in range(2)]
        os.kill(int(pid), signal.SIGKILL)
        afterwards = ask()

    assert {*by_worker, afterwards} == {by_graph}
