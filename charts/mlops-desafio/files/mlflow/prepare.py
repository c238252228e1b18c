"""Prepares what the MLflow server needs: its database's tables, and a bucket for artifacts.

Runs before the server, in an init container. Waits for a store that is still starting, for two
minutes at most, and may run any number of times.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from with_driver import with_driver

_DEADLINE = time.monotonic() + 120


def _once_it_answers(
    what: str, ask: Callable[[], None], refusals: tuple[type[Exception], ...]
) -> None:
    while True:
        try:
            return ask()
        except refusals as error:
            reason = str(error).strip().split("\n")[0]
            if time.monotonic() > _DEADLINE:
                sys.exit(f"{what} does not answer: {reason}")
            print(f"waiting for {what}: {reason}", flush=True)
            time.sleep(1)


def _database() -> None:
    uri = with_driver(os.environ["MLFLOW_BACKEND_STORE_URI"])
    engine = create_engine(uri)
    _once_it_answers("the database", lambda: engine.connect().close(), (OperationalError,))
    engine.dispose()
    upgrade = [sys.executable, "-m", "mlflow", "db", "upgrade"]
    subprocess.run([*upgrade, uri], check=True)


def _bucket(name: str) -> None:
    s3 = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))

    def make() -> None:
        if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=name)

    _once_it_answers("the object store", make, (BotoCoreError, ClientError))


_database()
if len(sys.argv) > 1:
    _bucket(sys.argv[1])
