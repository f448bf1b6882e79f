"""A store that lasts as long as the process: for tests, and for whoever uses the client as a library."""

from collections.abc import Iterable, Mapping


class MemoryStore:
    """A Store in a dict."""

    def __init__(self) -> None:
        self._items: dict[str, bytes] = {}

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what is stored under those of `keys` that are known."""
        return {key: self._items[key] for key in keys if key in self._items}

    def set_many(self, items: Mapping[str, bytes]) -> None:
        """Store all of them."""
        self._items.update(items)

    def delete(self, key: str) -> None:
        """Forget one, known or not."""
        self._items.pop(key, None)

    def acquire(self, key: str) -> bool:
        """Return True: no other process has it."""
        return True

    def release(self, unstored: Iterable[str]) -> None:
        """Do nothing: there is nobody to tell."""

    def abandoned(self, key: str, since: float) -> bool:
        """Return False, since `acquire` never makes anyone wait."""
        return False

    def close(self) -> None:
        """Do nothing: there are no files."""
