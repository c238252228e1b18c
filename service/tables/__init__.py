"""Rows to train on: the one form of them, and a reader for each form that clients send."""

from service.tables.table import BUILT_IN, LIMITS, Column, Limits, Table, built_in

__all__ = ["BUILT_IN", "LIMITS", "Column", "Limits", "Table", "built_in"]
