"""Flow control of a connection, and how long it kept the client from sending."""

from time import monotonic

from uvicorn.protocols.http.flow_control import FlowControl


class TimedFlowControl(FlowControl):
    """uvicorn's flow control that also adds up how long reading was paused."""

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
        """Start to add up again from zero."""
        self.paused_at, self.paused_seconds = now, 0.0
