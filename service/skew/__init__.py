"""Skew: how the requests to a version, and its answers, differ from its training data."""
