"""The tests: each name states what is guaranteed."""
