"""The store on disk: diskcache's SQLite table, read without diskcache, written by it, and trusted with nothing.

diskcache unpickles, reads and deletes what the rows of its database name, and applies settings that it finds
there. So reading is done over a read-only connection that takes bytes from plain rows and nothing else, and
writing by a diskcache that never looks at stored settings (`writer`). Values stay inside the database: there are
no value files. The folder's name carries the version of what is stored, which changes when one acme could take what
another has stored for something else; what it merely cannot read, it asks for again.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .database import connect
from .locks import KeyLocks, is_private
from .store import Stats

if TYPE_CHECKING:
    from .writer import Writer

FOLDER = "responses-v1"
DATABASE = "cache.db"

_OURS = {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}
_KEYS_A_QUERY = 100
_QUERY = (
    "SELECT key, value FROM Cache WHERE raw = 1 AND mode = 1 AND filename IS NULL AND typeof(value) = 'blob'"  # noqa: S608  only question marks are put in
    f" AND key IN ({','.join('?' * _KEYS_A_QUERY)})"
)
"""Always the same text, so that SQLite reads it once; NULL, where there are fewer keys, is no key."""
_BUSY = 1.0
"""Seconds to wait for another process's write."""

_TROUBLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
}
"""Errors that say nothing against what is stored; any other one means damage."""


class CacheUnusable(Exception):
    """The folder cannot be used as it is; the message says why."""


class Removed(msgspec.Struct, frozen=True):
    """How many entries were removed, and how many bytes on disk that freed."""

    entries: int
    size: int


class DiskStore:
    """A Store below `directory`, of at most `size_limit` bytes; the oldest entries go first."""

    def __init__(self, directory: str, size_limit: int) -> None:
        self._parent = Path(directory)
        self._folder = self._parent / FOLDER
        self._aside = self._parent / f"{FOLDER}.damaged"
        self._size_limit = size_limit
        self._reader: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self._locks: KeyLocks | None = None

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what is stored under those of `keys` that are known; nothing if there is no cache yet."""
        wanted = list(keys)
        if not self._is_there():
            return {}
        found: dict[str, bytes] = {}
        with self._damage_set_aside():
            reader = self._connect()
            for start in range(0, len(wanted), _KEYS_A_QUERY):
                chunk = wanted[start : start + _KEYS_A_QUERY]
                found.update(reader.execute(_QUERY, [*chunk, *[None] * (_KEYS_A_QUERY - len(chunk))]))
        return found

    def set_many(self, items: Mapping[str, bytes]) -> None:
        """Store all of them in one transaction, then delete the oldest others until the limit holds.

        What would take over half the limit is left out.
        """
        with self._writing() as writer:
            writer.store(items, self._size_limit)

    def delete(self, key: str) -> None:
        """Forget one, known or not."""
        if self._is_there():
            with self._writing() as writer:
                writer.forget(key)

    def acquire(self, key: str) -> bool:
        """Take the right to fetch `key`, and return False if another process has it. Raises OSError."""
        if self._locks is None:
            self._make_parent()
            self._locks = KeyLocks(self._parent / f"{FOLDER}.lock")
        return self._locks.acquire(key)

    def release(self, unstored: Iterable[str]) -> None:
        """Give back every right, with word that nothing came of fetching `unstored`."""
        if self._locks is not None:
            self._locks.release(unstored)

    def abandoned(self, key: str, since: float) -> bool:
        """Return whether such word on `key` was left after `since`, in seconds since 1970."""
        return self._locks is not None and self._locks.abandoned(key, since)

    def close(self) -> None:
        """Close the database, and give back every right."""
        self._disconnect()
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    def prune(self, older_than: float) -> Removed:
        """Remove what was stored more than `older_than` seconds ago."""
        before = self.stats()
        if self._is_there():
            with self._writing() as writer:
                writer.forget_before(time.time() - older_than)
            self._disconnect()
        after = self.stats()
        return Removed(before.entries - after.entries, max(0, before.size - after.size))

    def clear(self) -> Removed:
        """Remove everything, readable or not, and what interrupted or damaged runs left."""
        entries = 0
        with suppress(sqlite3.Error, CacheUnusable):
            entries = self.stats().entries
        self._disconnect()
        size = 0
        for folder in self._all_folders():
            size += _size(folder)
            _remove(folder)
        return Removed(entries, size)

    def stats(self) -> Stats:
        """Return what is stored. Raises sqlite3.Error or CacheUnusable if that cannot be read."""
        groups: dict[str, int] = {}
        times: list[float] = []
        if self._is_there():
            with self._damage_set_aside():
                rows = self._connect().execute(
                    "SELECT substr(key, 1, instr(key, char(10)) - 1), count(*), min(store_time), max(store_time)"
                    " FROM Cache WHERE raw = 1 AND typeof(key) = 'text' AND typeof(store_time) = 'real'"
                    " GROUP BY 1 ORDER BY 1"
                )
                for group, count, oldest, newest in rows:
                    groups[str(group)] = count
                    times += [oldest, newest]
        size = sum(_size(folder) for folder in self._all_folders())
        return Stats(sum(groups.values()), size, min(times, default=None), max(times, default=None), groups)

    def check(self) -> None:
        """Write, read and delete a probe. Raises any exception that using the cache would."""
        key, value = f"probe\n\n{os.urandom(8).hex()}", b"probe"
        self.set_many({key: value})
        if self.get_many([key]) != {key: value}:
            raise CacheUnusable(f"{self._folder} does not give back what was stored")
        self.delete(key)

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _connect(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = connect(self._folder / DATABASE, "ro", _BUSY)
        return self._reader

    @contextmanager
    def _writing(self) -> Iterator["Writer"]:
        from .writer import Writer, create

        if not self._is_there():
            self._make_parent()
            create(self._folder, self._size_limit)
        with self._damage_set_aside():
            if self._writer is None:
                self._writer = Writer(self._folder, _BUSY)
            yield self._writer

    def _make_parent(self) -> None:
        self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(self._parent, self._parent.stat())

    def _is_there(self) -> bool:
        """Return whether the folder exists and holds only our files. Raises CacheUnusable if it is not ours."""
        if self._reader is not None or self._writer is not None:
            return True
        try:
            _refuse_foreign(self._parent, self._parent.stat())
            _refuse_foreign(self._folder, status := self._folder.lstat())
            if status.st_mode & 0o022:
                raise CacheUnusable(f"{self._folder} can be written by others")
            odd = [item.name for item in os.scandir(self._folder) if not _is_ours(item)]
        except FileNotFoundError:
            return False
        if odd:
            # A planted journal alone makes SQLite delete files that it names.
            self._set_aside()
            raise CacheUnusable(f"{self._folder} held what is not ours ({odd[0]}) and was set aside")
        return True

    @contextmanager
    def _damage_set_aside(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in _TROUBLE:
                raise
            self._set_aside()
            raise CacheUnusable(f"{self._folder} was damaged ({error}) and was set aside") from error

    def _set_aside(self) -> None:
        """Rename the whole folder, so that no old log ever meets a new database. Only the last one is kept."""
        self._disconnect()
        _remove(self._aside)
        with suppress(FileNotFoundError):  # another process was faster
            self._folder.rename(self._aside)

    def _all_folders(self) -> list[Path]:
        """Return the folders of ours that there may be: in use, set aside, and left by a process that was killed."""
        return [self._folder, self._aside, *self._parent.glob(f"{FOLDER}.new-*")]


def _is_ours(item: "os.DirEntry[str]") -> bool:
    return item.name in _OURS and is_private(item.stat(follow_symlinks=False))


def _refuse_foreign(folder: Path, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise CacheUnusable(f"{folder} is not a folder")
    if status.st_uid != os.geteuid():
        raise CacheUnusable(f"{folder} belongs to another user")


def _size(folder: Path) -> int:
    """Return the bytes that the folder's files take, or 0 if there is none."""
    try:
        with os.scandir(folder) as items:
            return sum(item.stat(follow_symlinks=False).st_size for item in items)
    except OSError:
        return 0


def _remove(folder: Path) -> None:
    """Remove a folder of ours, links as links."""
    import shutil

    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
