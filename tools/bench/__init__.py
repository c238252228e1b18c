"""Measurements, run by hand, of the service's cost and of its agreement with scikit-learn."""
