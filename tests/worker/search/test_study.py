"""Optuna is imported by a search that samples, and by nothing else."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_worker_host_that_has_trained_has_not_imported_optuna() -> None:
    code = (
        "import sys; import service.worker.__main__ as host; host.warm(); "
        "sys.exit('optuna' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
