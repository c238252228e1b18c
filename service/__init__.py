"""Trains scikit-learn classifiers on request, versions them in MLflow and serves the one in use."""

import os

__version__ = "0.1.0"

# ONNX Runtime sends events to its makers, from a thread that it starts when it is imported. This
# service sends nothing to anybody but its clients and MLflow: set before anything imports it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
