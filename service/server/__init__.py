"""HTTP below ASGI: the server, its limits, how connections end, and the fast path."""
