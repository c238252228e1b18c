"""The errors by which the system says that a disk cannot be written."""

import errno
import re
from collections.abc import Mapping

NO_STORAGE: Mapping[int, str] = {
    errno.ENOSPC: "no space is left on it",
    errno.EDQUOT: "no space is left in its quota",
    errno.EFBIG: "no space is left for a file as large as this one",
    errno.EROFS: "it can only be read",
    errno.EIO: "it is damaged, or gone",
}
"""The numbers of these errors, each with a reason."""

_NUMBER = re.compile(r"\[Errno (\d+)\]")


def lack(error: Exception) -> str | None:
    """Return the reason where a disk could not be written; None for any other error.

    Errors that report others (`shutil.Error`, MLflow's) have the number in their text only.
    """
    number = _NUMBER.search(str(error))
    return NO_STORAGE.get(int(number[1])) if number else None
