"""MLflow's own page on the embedded store: `make ui`."""

import os
import sys

from service.common.errors import StartError
from service.common.settings import read_settings

_PORT = "5000"


def main() -> int:
    """Replace this process by `mlflow server` on the embedded store; return 1 if there is none."""
    try:
        settings = read_settings()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if settings.mlflow_uri:
        sys.stderr.write(f"MLflow is not embedded: its page is at {settings.mlflow_uri}.\n")
        return 1
    store = (settings.data_dir / "mlflow.db").resolve()
    if not store.is_file():
        sys.stderr.write(f"There is no store at {store} yet: start the service first (make run).\n")
        return 1
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{store}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", _PORT),
        *("--workers", "1", "--no-serve-artifacts"),
    ]
    sys.stderr.write(f"MLflow's page comes up at http://127.0.0.1:{_PORT} in a few seconds.\n")
    # All arguments are constants of this module, and there is no shell.
    os.execve(sys.executable, command, environment)  # nosec B606


if __name__ == "__main__":
    sys.exit(main())
