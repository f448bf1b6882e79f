"""Notices a dead API, so that a run over thousands of URLs ends in seconds."""

import threading

from acme_cli.errors import AcmeError

_ENOUGH = 5
"""Different URLs that failed, one after another."""


class Breaker:
    """Counts failures since the last success; `tripped` holds the last one once there were too many. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: set[str] = set()
        self.was_heard = False
        """Whether any answer made sense."""
        self.tripped: AcmeError | None = None

    def succeeded(self) -> None:
        """Note that the API gave an answer that makes sense."""
        self.was_heard = True
        if self._failed:
            with self._lock:
                self._failed.clear()
                self.tripped = None

    def failed(self, url: str, error: AcmeError) -> None:
        """Note that an attempt to get `url` failed."""
        with self._lock:
            self._failed.add(url)
            if len(self._failed) >= _ENOUGH:
                self.tripped = error
