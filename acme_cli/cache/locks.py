"""One fetch for many processes: a lock for each key, and word of fetches that left nothing behind.

Processes that start together with the same question should cost the API one request each URL. Whoever holds a key's
lock fetches it; the others look into the cache until it is there. The kernel frees the locks of the dead.
"""

import fcntl
import os
import stat
import struct
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

_SLOTS = 2**16
_NOTES = 2**9
"""Locks take no space, notes do: these keep the file at 4 KiB. Two keys that share one cost a request at most."""

_NOTE = struct.Struct("<d")


class KeyLocks:
    """Locks on keys, shared by all processes that name the same file; for one thread of each.

    fcntl's locks belong to the process and go with any descriptor of the file, so there is one of these a process.
    Keys that fall into one slot exclude each other, which costs a little waiting and nothing else.
    Methods raise OSError where the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._held: set[int] = set()
        if not is_private(os.fstat(self._file)):
            self.close()
            raise OSError(f"{path} is not a file of ours alone")

    def close(self) -> None:
        """Give back every lock, and close the file."""
        os.close(self._file)

    def acquire(self, key: str) -> bool:
        """Take the key's lock without waiting, and return whether this process now holds it."""
        slot = _slot(key)
        if slot not in self._held:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _NOTE.size, slot * _NOTE.size)
            except (BlockingIOError, PermissionError):
                return False
            self._held.add(slot)
        return True

    def release(self, unstored: Iterable[str]) -> None:
        """Give back every lock, with word that fetching `unstored` left nothing in the cache."""
        for key in unstored:
            os.pwrite(self._file, _NOTE.pack(time.time()), _place(key))
        for slot in self._held:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _NOTE.size, slot * _NOTE.size)
        self._held.clear()

    def abandoned(self, key: str, since: float) -> bool:
        """Return whether somebody left such word after `since`, in seconds since 1970."""
        note = os.pread(self._file, _NOTE.size, _place(key))
        return len(note) == _NOTE.size and since <= _NOTE.unpack(note)[0] <= time.time()


def is_private(status: os.stat_result) -> bool:
    """Return whether it is a regular file of ours under one name; what has another may lie outside the cache."""
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


def _slot(key: str) -> int:
    return zlib.crc32(key.encode()) % _SLOTS


def _place(key: str) -> int:
    return _slot(key) % _NOTES * _NOTE.size
