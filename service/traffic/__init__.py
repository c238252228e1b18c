"""A second version beside the one in use: both answer the same rows, and rules judge it."""
