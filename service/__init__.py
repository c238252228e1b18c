"""Trains scikit-learn classifiers on request, versions them in MLflow and serves the one in use."""

__version__ = "0.1.0"
