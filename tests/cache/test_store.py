"""A guarded store: every failure is a miss, the first one is said, and nothing is tried again."""

from collections.abc import Callable, Iterable, Mapping

import pytest

from acme_cli.cache.memory import MemoryStore
from acme_cli.cache.store import Guarded


class Counting(MemoryStore):
    """Raises `error` from everything but `close`, and counts."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.calls = 0
        self.closed = 0

    def _fail(self) -> BaseException:
        self.calls += 1
        return self.error

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        raise self._fail()

    def set_many(self, items: Mapping[str, bytes]) -> None:
        raise self._fail()

    def delete(self, key: str) -> None:
        raise self._fail()

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("error", "warning"),
    [
        (OSError(28, "No space left on device"), "the cache is not used: [Errno 28] No space left on device"),
        (ValueError(), "the cache is not used: ValueError"),
        (RecursionError("deep"), "the cache is not used: deep"),
        (MemoryError(), "the cache is not used: MemoryError"),
    ],
)
@pytest.mark.parametrize("first", ["get", "set", "delete"])
def test_one_warning_and_no_further_use(error: Exception, warning: str, first: str) -> None:
    warnings: list[str] = []
    store = Counting(error)
    guarded = Guarded(store, warnings.append)
    steps: dict[str, Callable[[], object]] = {
        "get": lambda: guarded.get_many(["a"]),
        "set": lambda: guarded.set_many({"a": b"1"}),
        "delete": lambda: guarded.delete("a"),
    }
    for name in (first, *steps):
        assert not steps[name]()
    guarded.close()
    assert warnings == [warning]
    assert store.calls == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_is_no_error_passes_through(error: BaseException) -> None:
    guarded = Guarded(Counting(error), pytest.fail)
    with pytest.raises(type(error)):
        guarded.get_many(["a"])


def test_a_store_that_works_is_used_as_it_is() -> None:
    guarded = Guarded(MemoryStore(), pytest.fail)
    guarded.set_many({"a": b"1", "b": b"2"})
    guarded.set_many({})
    guarded.delete("b")
    guarded.delete("never")
    assert guarded.get_many(["a", "b", "c"]) == {"a": b"1"}
    guarded.close()


def test_memory_keeps_nothing_between_stores() -> None:
    first = MemoryStore()
    first.set_many({"a": b"1"})
    assert MemoryStore().get_many(["a"]) == {}
