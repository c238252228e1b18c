"""Rows to train on or to predict: one reader for each form that clients send."""
