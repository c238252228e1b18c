"""Other servers of scikit-learn models, each in an environment of its own, beside the service."""
