"""The console in Chromium: `make browser`."""
