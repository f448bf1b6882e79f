"""What the rest of the program knows of the cache: bytes by key, which may be gone at any time."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """What is stored: `size` in bytes on disk, times in seconds since 1970, `groups` by the data API's base URL."""

    entries: int
    size: int
    oldest: float | None
    newest: float | None
    groups: dict[str, int]


class Store(Protocol):
    """Bytes by key. Any method but close may raise any Exception; Guarded turns that into a miss."""

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what is stored under those of `keys` that are known."""

    def set_many(self, items: Mapping[str, bytes]) -> None:
        """Store all of them, or none."""

    def delete(self, key: str) -> None:
        """Forget one, known or not."""

    def acquire(self, key: str) -> bool:
        """Take the right to fetch `key`, and return False if another process has it."""

    def release(self, unstored: Iterable[str]) -> None:
        """Give back every right, with word that nothing came of fetching `unstored`."""

    def abandoned(self, key: str, since: float) -> bool:
        """Return whether such word on `key` was left after `since`, in seconds since 1970."""

    def close(self) -> None:
        """Let go of files."""


class Guarded:
    """A store whose failures are misses: the first is reported in one warning, and ends its use for this run.

    None stands for a store that keeps nothing.
    """

    def __init__(self, store: Store | None, warn: Callable[[str], None]) -> None:
        self._store = store
        self._locks = store
        self._warn = warn

    @property
    def in_use(self) -> bool:
        """Whether anything that is stored may be kept."""
        return self._store is not None

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what is stored and can be read."""
        try:
            return {} if self._store is None else self._store.get_many(keys)
        except Exception as error:  # noqa: BLE001  whatever a damaged cache does, the API has the answer
            self._give_up(error)
            return {}

    def set_many(self, items: Mapping[str, bytes]) -> bool:
        """Store if possible, and return whether it was."""
        try:
            if self._store is not None and items:
                self._store.set_many(items)
        except Exception as error:  # noqa: BLE001  the answer is known, storing it is a favour
            self._give_up(error)
        return self._store is not None

    def delete(self, key: str) -> None:
        """Forget if possible."""
        try:
            if self._store is not None:
                self._store.delete(key)
        except Exception as error:  # noqa: BLE001  as for set_many
            self._give_up(error)

    def acquire(self, key: str) -> bool:
        """Take the right to fetch; whoever cannot ask for it has it."""
        try:
            return self._store is None or self._store.acquire(key)
        except Exception:  # noqa: BLE001  without locks a request may be made twice, that is all
            return True

    def release(self, unstored: Iterable[str]) -> None:
        """Give back every right, also after the store has failed, so that nobody waits for it."""
        with suppress(Exception):
            if self._locks is not None:
                self._locks.release(unstored)

    def abandoned(self, key: str, since: float) -> bool:
        """Return whether another process has fetched it in vain."""
        try:
            return self._store is None or self._store.abandoned(key, since)
        except Exception:  # noqa: BLE001  as for acquire
            return True

    def close(self) -> None:
        """Let go of files."""
        with suppress(Exception):
            if self._locks is not None:
                self._locks.close()

    def _give_up(self, error: Exception) -> None:
        self._warn(f"the cache is not used: {str(error) or type(error).__name__}")
        self._store = None
