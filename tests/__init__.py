"""The tests: their names are promises."""
