"""Fitted scikit-learn pipelines: loaded safely, walked, checked, and adopted from others."""
