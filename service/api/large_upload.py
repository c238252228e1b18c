"""The room for large uploads in a replica: its disk holds one, and what is made of it."""

from service.common.errors import LargeUploadUnderWay


class LargeUpload:
    """Taken by one upload at a time; used on the event loop alone."""

    def __init__(self) -> None:
        self._holder: object = None

    def take(self, upload: object) -> None:
        """Take the room, or keep it; raises LargeUploadUnderWay where another has it."""
        if self._holder is not None and self._holder is not upload:
            raise LargeUploadUnderWay
        self._holder = upload

    def leave(self, upload: object) -> None:
        """Release the room if the upload holds it."""
        if self.is_of(upload):
            self._holder = None

    def is_of(self, upload: object) -> bool:
        """Return whether the upload has taken the room: whether it is a large one."""
        return self._holder is upload
