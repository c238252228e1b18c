"""Files of rows: how many are read at the same time, and their memory limit together."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.common.errors import Overloaded
from service.processes.job import Job
from service.processes.job_files import MATRIX
from service.processes.limits import JobLimits
from service.processes.messages import Done, to_json
from service.processes.pool import WorkerPool
from service.serving.file_predictions import Deadline, FilePredictions
from tests.support.classifiers import FakeClassifier, predictor_of
from tests.support.server import settings_for
from tests.support.waiting import wait_until


class FakeWorkers(WorkerPool):
    """Keeps each job running until the test ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []
        self.lock = threading.Lock()

    def start(self, _: str, folder: Path, __: Mapping[str, Any], limits: JobLimits) -> Job:
        np.save(folder / MATRIX, np.zeros((1, 2)))
        with self.lock:
            self.jobs.append(Job(len(self.jobs), 1, lambda _: None, folder, limits))
            return self.jobs[-1]

    def running(self) -> list[Job]:
        with self.lock:
            return [job for job in self.jobs if not job.outcome.done()]

    def run_at_least(self, count: int) -> bool:
        return len(self.running()) >= count


def test_files_that_are_read_at_one_time_hold_no_more_than_one_training_may(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path)
    workers = FakeWorkers()
    files = FilePredictions(workers, settings)
    predictor = predictor_of(FakeClassifier())

    def answer(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        return files.answer(predictor, folder, "csv", False, "json", Deadline())[1]

    most = 0
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(answer, number) for number in range(6)]
        for ended in range(6):
            # As many files as allowed are being read, and the others wait.
            wait_until(partial(workers.run_at_least, min(2, 6 - ended)))
            running = workers.running()
            most = max(most, sum(job.limits.memory_bytes for job in running))
            running[0].outcome.set_result(Done(to_json({})))

    assert [future.result() for future in answers] == [1] * 6
    assert most == settings.training_memory_bytes


def test_a_file_beyond_those_that_may_wait_is_refused(tmp_path: Path) -> None:
    files = FilePredictions(FakeWorkers(), settings_for(tmp_path))

    def count(more: int) -> int:
        try:
            with files.admit():
                return count(more + 1)
        except Overloaded:
            return more

    assert count(0) == 8
    with files.admit():  # The waiting files have left the queue.
        pass


def test_a_job_that_crashes_lets_the_next_file_be_read(tmp_path: Path) -> None:
    class NoWorkers(WorkerPool):
        def start(self, *_: object) -> Job:
            raise ZeroDivisionError

    files = FilePredictions(NoWorkers(), settings_for(tmp_path))
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            files.answer(predictor_of(FakeClassifier()), tmp_path, "csv", False, "json", Deadline())
