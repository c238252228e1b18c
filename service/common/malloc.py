"""The C library's heap: what it keeps of memory that was freed."""

import ctypes


def trim() -> None:
    """Give freed memory back to the system; nothing where the C library has no such call.

    glibc keeps up to 64 MB of it at the end of its heap once blocks of many megabytes have been
    freed, as the loading of a model does. It takes milliseconds, in which threads that allocate may
    wait.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
