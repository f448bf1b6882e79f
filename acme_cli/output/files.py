"""The file of `-o`: the old one until the new one is whole, and one run at a time."""

import errno
import fcntl
import os
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acme_cli.errors import OutputError, OutputLocked
from acme_cli.output.sanitise import visible
from acme_cli.output.write import write_all

Write = Callable[[bytes], None]

_HINTS = {
    errno.ENOENT: "Create the folder first, or name a file in one that exists.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENOSPC: "Free some space, or name a file on another disk.",
    errno.EDQUOT: "Free some space, or name a file on another disk.",
    errno.EFBIG: "The limit on the size of a file is too low for it (ulimit -f), or the file system's is.",
    errno.EROFS: "The file system can only be read; name a file on another one.",
}


_LONGEST_NAME = 50
"""Characters of the target's name in one beside it: at most 200 bytes, which leaves room for the rest in 255."""


def write_file(path: str, data: bytes) -> None:
    """Write the whole answer to a file. Raises as `replaced` does."""
    with replaced(path) as write:
        write(data)


@contextmanager
def replaced(path: str) -> Iterator[Write]:
    """Give a function that writes to the file, which keeps its old content until the block has ended well.

    Links are followed. The new file has the mode and, as far as permitted, the owner of the old one. What is not a
    regular file (a pipe, a device), and what is stdout or stderr under another name, is written straight.
    Raises OutputError, and BrokenPipeError when the reader of a pipe went away.
    """
    with _told_as_output_error(path):
        old = _existing(path)
        stream = old and _standard_stream(old)
        straight = old is not None and not stat.S_ISREG(old.st_mode)
        target = Path(os.path.realpath(path))
        temporary = None
        if stream:
            fd = os.dup(stream)
        elif straight:
            fd = os.open(path, os.O_WRONLY | os.O_NOCTTY)
        else:
            if old and not os.access(target, os.W_OK):  # a rename would not ask
                raise _os_error(errno.EACCES)
            # Private until it has the old file's mode; without one, the umask decides.
            temporary, fd = _temporary(target, 0o600 if old else 0o666)
    try:
        with _told_as_output_error(path):
            if temporary and old:
                _take_after(fd, old)

        def write(data: bytes) -> None:
            with _told_as_output_error(path):
                write_all(fd, data)

        yield write
        if temporary:
            with _told_as_output_error(path):
                os.fsync(fd)
                temporary.replace(target)
                _sync_folder(target.parent)
    except BaseException:
        if temporary:
            with suppress(OSError):
                temporary.unlink()
        raise
    finally:
        os.close(fd)


@contextmanager
def locked(path: str, wait: float) -> Iterator[None]:
    """Let nobody else write this file meanwhile: `wait` so many seconds for another run, then raise OutputLocked.

    The lock is on a file beside it that is gone afterwards. What is no regular file is not locked. Raises OutputError
    where no file can be made there.
    """
    with _told_as_output_error(path):
        old = _existing(path)
    if old is not None and (not stat.S_ISREG(old.st_mode) or _standard_stream(old)):
        yield
        return
    target = Path(os.path.realpath(path))
    lock = _beside(target, ".acme.lock")
    last = time.monotonic() + wait
    while (fd := _lock(path, lock)) is None:
        if time.monotonic() >= last:
            hint = "wait for it to end, or let this one wait with --wait 10m"
            raise OutputLocked(f"another run is writing '{visible(path)}'", hint)
        time.sleep(0.05)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(fd)


def _lock(path: str, lock: Path) -> int | None:
    """Return the lock file, open and locked, or None if another process has it."""
    while True:
        with _told_as_output_error(path):
            # Only for reading, since another user may have left it.
            fd = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError:  # some file systems have no locks
            return fd
        if _is_at(fd, lock):
            return fd
        os.close(fd)  # whoever had it has removed it


def _beside(target: Path, ending: str) -> Path:
    """Return the name of a hidden file of ours beside the target: another one for each target."""
    name = target.name
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{zlib.crc32(os.fsencode(name)):08x}"
    return target.with_name(f".{name}{ending}")


@contextmanager
def _told_as_output_error(path: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputError(
            f"The answer could not be written to '{visible(path)}': {exc.strerror}.",
            hint=_HINTS.get(exc.errno or 0, "Name a file in a place where you may write."),
        ) from exc


def _take_after(fd: int, old: os.stat_result) -> None:
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(OSError):  # only root may give a file away, members may give it to a group
            os.fchown(fd, owner, group)
    os.fchmod(fd, stat.S_IMODE(old.st_mode))


def _existing(path: str) -> os.stat_result | None:
    """Return what the path leads to, None if nothing; raise OSError if it cannot name a file."""
    if "\0" in path or not path:
        raise _os_error(errno.ENOENT)
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        found = None
    names_folder = os.path.basename(path) in {"", ".", ".."}  # noqa: PTH119  Path drops the slash that says so
    if names_folder or (found and stat.S_ISDIR(found.st_mode)):
        raise _os_error(errno.EISDIR)
    return found


def _standard_stream(found: os.stat_result) -> int | None:
    """Return 1 or 2 if that is the file found, as with `-o /dev/stdout >>log`: replacing the log would lose it."""
    for fd, stream in ((1, sys.__stdout__), (2, sys.__stderr__)):
        with suppress(OSError):
            if stream is not None and os.path.samestat(os.fstat(fd), found):
                return fd
    return None


def _temporary(target: Path, mode: int) -> tuple[Path, int]:
    """Return a new file beside the target, opened; those that killed runs left there are removed.

    Whoever writes one holds a lock on it, which the kernel frees when the process is gone.
    """
    start, end = _beside(target, ".acme-").name, ".tmp"
    left: list[str] = []
    with suppress(OSError), os.scandir(target.parent) as items:
        left = [item.path for item in items if item.name.startswith(start) and item.name.endswith(end)]
    for path in left:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(path).unlink()
            finally:
                os.close(fd)
    while True:
        temporary = target.with_name(f"{start}{os.urandom(8).hex()}{end}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = _is_at(fd, temporary)
        except BlockingIOError:
            ours = False
        except OSError:  # some file systems have no locks
            ours = True
        if ours:
            return temporary, fd
        os.close(fd)  # another run took it for abandoned before it was locked


def _is_at(fd: int, path: Path) -> bool:
    """Return whether the open file is what stands at `path` now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Bring the rename to the disk where the file system can; the file is whole either way."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
