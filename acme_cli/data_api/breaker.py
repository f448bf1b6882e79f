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
        self._alive = False
        self.tripped: AcmeError | None = None

    def is_dead(self) -> bool:
        """Return whether too many have failed, or some and all of them."""
        return self.tripped is not None or bool(self._failed and not self._alive)

    def succeeded(self) -> None:
        """Note that the API gave an answer that makes sense."""
        self._alive = True
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
