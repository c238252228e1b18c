"""What the service says to the host of children: messages of JSON, with the files of a child."""

SERVE = "serve"
"""The kind of the order for a child that serves a classifier; every other kind is a job's."""
PREFORK = "warm"
"""The kind of what is no order yet: one is to come, and a child may be forked for it."""

LONGEST = 65_536
MOST_FILES = 64
