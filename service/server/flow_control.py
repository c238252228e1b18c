"""How a connection is held up where one side is faster than the other."""

from time import monotonic

from uvicorn.protocols.http.flow_control import FlowControl


class TimedFlowControl(FlowControl):
    """uvicorn's flow control, which also adds up for how long the client could not send."""

    paused_at = 0.0
    paused_seconds = 0.0

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.paused_at = monotonic()
        super().pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.paused_seconds += monotonic() - self.paused_at
        super().resume_reading()

    def restart(self, now: float) -> None:
        """Begin to add up anew."""
        self.paused_at, self.paused_seconds = now, 0.0
