"""Classifiers that answer, and what a stored one may contain."""
