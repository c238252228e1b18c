"""What the service needs to start, told in a sentence where it is missing; and what it imports."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import fail_to_start

pytestmark = pytest.mark.slow


def test_a_port_in_use_is_reported_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        said = fail_to_start(tmp_path, port=port)

    assert f"Port {port} on 127.0.0.1 cannot be taken: Address already in use." in said


def test_a_port_of_grpc_in_use_is_reported_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        said = fail_to_start(tmp_path, grpc_port=port)

    assert f"Port {port} on 127.0.0.1 cannot be taken for gRPC: Address already in use." in said


def test_grpc_without_its_package_is_reported_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "grpc.py").write_text("raise ModuleNotFoundError('No module', name='grpc')")
    monkeypatch.setenv("PYTHONPATH", str(hidden))

    said = fail_to_start(tmp_path / "data", grpc_port=1)

    assert said.startswith("SERVICE_GRPC_PORT needs the package grpcio, which is not installed.")


def test_without_a_port_of_grpc_its_package_is_not_imported() -> None:
    code = (
        "import sys; import service.__main__; print({'grpc', 'google.protobuf'} & set(sys.modules))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout == "set()\n"


def test_a_data_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    said = fail_to_start(tmp_path / "file" / "data")

    assert "cannot be written: Not a directory." in said


def test_a_corrupt_store_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)

    said = fail_to_start(tmp_path)

    assert "cannot be opened as MLflow's store" in said


def test_a_misspelt_setting_is_told_in_a_sentence(tmp_path: Path) -> None:
    said = fail_to_start(tmp_path, prot=1)

    assert said == "SERVICE_PROT is not a setting; did you mean 'SERVICE_PORT'?\n"


def test_the_graph_runtime_does_not_report_to_its_makers() -> None:
    code = (
        "import service, service.models.onnx_classifier, os; "
        "print(len(os.listdir('/proc/self/task')), os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("ORT_DISABLE_TELEMETRY", None)

    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == ["1", "1"]


def test_mlflow_is_imported_without_data_libraries_which_can_be_imported_later() -> None:
    code = (
        "import sys; from service.registry.slim_imports import slim_imports\n"
        "with slim_imports(): import mlflow.tracking\n"
        "print('pandas' in sys.modules, 'pyarrow' in sys.modules)\n"
        "import pandas, pyarrow; print(pandas.DataFrame({'x': [1]}).x[0])"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["False", "False", "1"]
