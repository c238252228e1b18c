"""Runs a command of MLflow with the driver for PostgreSQL that its image has.

CloudNativePG's Secrets hold addresses that name none, and SQLAlchemy would look for another one.
"""

import os
import re
import runpy
import sys


def with_driver(uri: str) -> str:
    """Return a database's address with the driver psycopg2, unless it names another one."""
    return re.sub("^postgres(ql)?://", "postgresql+psycopg2://", uri)


if __name__ == "__main__":
    os.environ["MLFLOW_BACKEND_STORE_URI"] = with_driver(os.environ["MLFLOW_BACKEND_STORE_URI"])
    sys.argv[1:] = map(with_driver, sys.argv[1:])
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
