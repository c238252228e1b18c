"""Generated requests, sent to the real server on this machine."""
