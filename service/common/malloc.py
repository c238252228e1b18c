"""The C library's heap, which keeps memory that was freed."""

import ctypes


def trim() -> None:
    """Return freed memory to the system, where the C library has a call for that.

    After blocks of many megabytes were freed, as when a model is loaded, glibc keeps up to 64 MB at
    the end of its heap. The call takes milliseconds, in which other threads may wait to allocate.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
