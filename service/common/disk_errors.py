"""What the system says of a disk that does not take what is written to it."""

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
"""The numbers of such errors, and each as a reason."""

_NUMBER = re.compile(r"\[Errno (\d+)\]")


def lack(error: Exception) -> str | None:
    """Give the reason where a disk did not take something; None for any other error.

    Errors that tell of others (`shutil.Error`, MLflow's) have the number in their text alone.
    """
    found = _NUMBER.search(str(error))
    return NO_STORAGE.get(int(found.group(1))) if found else None
