"""What both scripts do while a server works."""

import time


def until(what, done):
    """Asks again until `done` says so, a minute at most."""
    end = time.monotonic() + 60
    while not (found := done()):
        if time.monotonic() > end:
            raise SystemExit(f"not within a minute: {what}")
        time.sleep(0.05)
    return found
