"""What replicas and the pod of a training hand to each other, as files of the training's run.

`job/in` has the rows and the specification, and `job/out` what the job has made. The outcome is
written last: where it is, everything is.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from service.common.errors import RegistryUnavailable, ServiceError
from service.common.ports import RunFiles
from service.processes import job_files as files
from service.processes.messages import Outcome
from service.training.spec import TrainingSpec

_IN = "job/in"
_OUT = "job/out"
_SPEC = "spec.json"
_OUTCOME = "job/outcome.json"
_MOST_BYTES = 64 * 2**20
_decoder: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_MADE = (
    *(files.VERSION, files.REPORT),
    *(files.HELD_OUT, files.TRUTH, files.LABELS, files.PROBABILITIES),
)
"""What a training leaves in its folder."""


def give(run_files: RunFiles, training: str, spec: TrainingSpec) -> None:
    """Store what a training needs; raises RegistryUnavailable or TrainingNotFound."""
    with tempfile.TemporaryDirectory(dir=spec.folder) as name:
        given = Path(name)
        (given / _SPEC).write_bytes(spec.to_json())
        _link(spec.folder, given, (files.TABLE,))
        run_files.store_folder(training, given, _IN)


def take(run_files: RunFiles, training: str, folder: Path) -> TrainingSpec | None:
    """Fetch what a training needs to a folder, which is made; None where nothing was given.

    Raises RegistryUnavailable or TrainingNotFound.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run_files.fetch_folder(training, _IN, folder)
        return TrainingSpec.from_json((folder / _SPEC).read_bytes(), folder)
    except ServiceError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except (FileNotFoundError, msgspec.DecodeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def give_outcome(run_files: RunFiles, training: str, folder: Path, outcome: Outcome) -> None:
    """Store what a job has made, and then how it ended; raises as `give`."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        _link(folder, Path(name), _MADE)
        if any(Path(name).iterdir()):
            run_files.store_folder(training, Path(name), _OUT)
    run_files.write_file(training, _OUTCOME, msgspec.json.encode(outcome))


def outcome_of(run_files: RunFiles, training: str) -> Outcome | None:
    """Return how the job of a training ended; None where no pod has told.

    Raises RegistryUnavailable or TrainingNotFound.
    """
    text = run_files.read_file(training, _OUTCOME, _MOST_BYTES)
    if text is None:
        return None
    try:
        outcome: Outcome = _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise RegistryUnavailable(f"the outcome of a training is unreadable: {error}.") from error
    return outcome


def take_made(run_files: RunFiles, training: str, folder: Path) -> None:
    """Fetch what a job has made to a folder; raises as `take`."""
    run_files.fetch_folder(training, _OUT, folder)


def remove(run_files: RunFiles, training: str) -> None:
    """Delete everything of these; what cannot be deleted is left."""
    folders = (_IN, _OUT, f"{_OUT}/{files.VERSION}", f"{_OUT}/{files.REPORT}", "job")
    with contextlib.suppress(ServiceError):
        for folder in folders:
            for path in run_files.list_files(training, folder):
                run_files.delete_file(training, path)


def _link(folder: Path, target: Path, names: Sequence[str]) -> None:
    """Make files and folders appear in another folder, without copying them."""
    for name in names:
        source = folder / name
        if source.is_dir():
            (target / name).mkdir()
            _link(source, target / name, [path.name for path in source.iterdir()])
        elif source.exists():
            os.link(source, target / name)
