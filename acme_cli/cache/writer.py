"""Writing the store on disk: a diskcache stripped of everything that trusts its own file. The only importer of it."""

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import diskcache  # noqa: TID253  this module is imported on the first write only

from .database import connect

# What diskcache's `set` comes to for plain bytes, without looking each key up first, which takes twice the time.
_SET = """
INSERT INTO Cache (key, raw, store_time, mode, value) VALUES (?1, 1, ?2, 1, ?3)
ON CONFLICT (key, raw) DO UPDATE SET store_time = ?2, mode = 1, filename = NULL, value = ?3
"""


_SLICE = 0.1
"""Seconds that SQLite waits for a lock before it is asked again: meanwhile it heeds no signal."""


class _ClosedDisk(diskcache.Disk):  # type: ignore[misc]  # it has no types
    """Neither pickles nor files (CVE-2025-69872): diskcache turns nothing into rows, and rows into nothing."""

    def put(self, key: Any) -> tuple[str, bool]:
        raise NotImplementedError("keys are stored by the writer alone")

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, bytes]:
        raise NotImplementedError("values are stored by the writer alone")

    def get(self, key: Any, raw: Any) -> Any:
        raise NotImplementedError("stored keys are never turned into objects")

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> Any:
        raise NotImplementedError("stored values are read by disk.py alone")

    def remove(self, file_path: Any) -> None:
        """Do nothing: a file name in the database was not put there by us."""


class Writer(diskcache.Cache):  # type: ignore[misc]  # it has no types
    """diskcache on an existing database, without its set-up.

    The set-up costs 74 statements, 40 of them writes, applies what the file's Settings table says, and waits a
    minute for a lock. What its transactions need are the attributes below.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self._directory = str(folder)
        self._timeout = timeout
        self._local = threading.local()
        self._txn_id = None
        self._disk = _ClosedDisk(str(folder))

    @property
    def _con(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "con", None)
        if connection is None:
            connection = connect(Path(self._directory) / diskcache.core.DBNAME, "rw", _SLICE)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.con = connection
            self._local.pid = os.getpid()
        return connection

    def store(self, items: Mapping[str, bytes], size_limit: int) -> None:
        """Store all items in one transaction; delete the oldest others until 0.85 of the limit holds.

        Items beyond half the limit are left out, and all of them while readers keep the log long. Raises sqlite3.Error.
        """
        if not self._log_is_short(size_limit):
            return
        room = size_limit // 2
        with self.transact():
            kept: dict[str, bytes] = {}
            for key, value in items.items():
                room -= len(value)
                if room > 0:
                    kept[key] = value
            now = time.time()
            self._con.executemany(_SET, ((key, now, value) for key, value in kept.items()))
            self._evict(kept.keys(), 0.85 * size_limit)
        self._log_is_short(size_limit)

    @contextmanager
    def transact(self, retry: bool = False) -> Iterator[None]:
        """Make what is done inside one transaction. Raises sqlite3.Error, where diskcache says only Timeout."""
        last = time.monotonic() + self._timeout
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(super().transact(retry=retry))
                except diskcache.Timeout as timeout:
                    error = timeout.__context__ or timeout
                    is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                    if not is_busy or time.monotonic() > last:
                        raise error from None
                else:
                    break
            yield

    def forget(self, key: str) -> None:
        """Delete one row. Raises sqlite3.Error."""
        with self.transact():
            self._sql("DELETE FROM Cache WHERE key = ?", (key,))

    def forget_before(self, moment: float) -> None:
        """Delete the rows stored before `moment`, in seconds since 1970. Raises as `forget`."""
        some = "SELECT rowid FROM Cache WHERE store_time < ? OR store_time IS NULL LIMIT 1000"
        with self.transact():
            # Some at a time, since a signal is heeded only between statements.
            while self._sql(f"DELETE FROM Cache WHERE rowid IN ({some})", (moment,)).rowcount:  # noqa: S608  no input
                pass

    def _evict(self, kept: Collection[str], size_limit: float) -> None:
        (page_size,) = self._sql("PRAGMA page_size").fetchone()
        while True:
            (pages,) = self._sql("PRAGMA page_count").fetchone()
            (free,) = self._sql("PRAGMA freelist_count").fetchone()
            if (pages - free) * page_size <= size_limit:
                return
            # The larger the batch the more at a time: looking for 64 takes seconds for a batch of ten thousand.
            oldest = self._sql("SELECT rowid, key FROM Cache ORDER BY store_time LIMIT ?", (64 + len(kept),)).fetchall()
            gone = [(rowid,) for rowid, key in oldest if key not in kept][: max(64, len(kept) // 4)]
            if not gone:
                return
            self._con.executemany("DELETE FROM Cache WHERE rowid = ?", gone)

    def _log_is_short(self, size_limit: int) -> bool:
        """Empty the write-ahead log once it is long, which nothing else does while readers come and go.

        Return False if a reader keeps it so.
        """
        log = Path(self._directory) / f"{diskcache.core.DBNAME}-wal"
        with suppress(FileNotFoundError):
            if log.stat().st_size > size_limit / 16:
                (busy, _, _) = self._sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
        return True


def create(folder: Path, size_limit: int) -> None:
    """Make an empty store at `folder`: whole elsewhere, then renamed, so that nobody ever sees a part of it."""
    made = folder.with_name(f"{folder.name}.new-{os.urandom(8).hex()}")
    made.mkdir(mode=0o700)
    try:
        with diskcache.Cache(str(made), disk=_ClosedDisk, size_limit=size_limit, cull_limit=0) as cache:
            # They count what nobody asks for, and any trigger that is found later was planted.
            for (trigger,) in cache._sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                cache._sql(f"DROP TRIGGER {trigger}")
        for file in made.iterdir():
            file.chmod(0o600)
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        if made.exists():
            for file in made.iterdir():
                file.unlink()
            made.rmdir()
