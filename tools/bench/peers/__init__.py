"""Measurements of other servers of scikit-learn models, each in its own environment."""
