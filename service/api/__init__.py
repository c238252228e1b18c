"""The routes: a file a resource. Only these, `app`, `problems` and `health` know of HTTP."""
