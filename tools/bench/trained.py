"""Uploads rows to the service and trains models on them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.bench.client import Client
from tools.bench.fitting import rows


def upload(client: Client, name: str, X: NDArray[np.float64], positive: NDArray[Any]) -> None:
    """Upload rows as the data set `name`: features x0, x1, …, and `y`, which is yes or no."""
    frame = pd.DataFrame(X, columns=[f"x{index}" for index in range(X.shape[1])])
    csv = frame.assign(y=np.where(positive, "yes", "no")).to_csv(index=False).encode()
    client.send("POST", f"/datasets?name={name}&target=y", csv, "text/csv")


def train_all(client: Client, models: Mapping[str, str]) -> bytes:
    """Train a model of each class on the same rows; put `linear` in use; return a request."""
    upload(client, "rows", *rows())
    order = {"dataset": "rows", "use": False, "wait": 120}
    for name, kind in models.items():
        client.ask("POST", "/train", {**order, "name": name, "model_type": kind})
    client.ask("POST", "/use-model", {"name": "linear"})
    return json.dumps(client.ask("GET", "/schema")["example"]).encode()
