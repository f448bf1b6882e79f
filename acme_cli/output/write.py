"""Where bytes leave the program: stdout, stderr, and the file of `-o`; whole, or an error."""

import errno
import fcntl
import os
import select
import stat
import sys
from contextlib import suppress
from pathlib import Path

from acme_cli.errors import OutputError
from acme_cli.output.sanitise import visible

_HINTS = {
    errno.ENOENT: "Create the folder first, or name a file in one that exists.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENOSPC: "Free some space, or name a file on another disk.",
    errno.EDQUOT: "Free some space, or name a file on another disk.",
}


def write_stdout(data: bytes) -> None:
    """Write the whole answer to file descriptor 1.

    Raises BrokenPipeError when the reader of a pipe went away, OutputError for every other failure.
    """
    try:
        if sys.stdout is None:  # closed since the start, so that the number may by now be another file's
            raise _os_error(errno.EBADF)
        _write_all(1, data)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputError(
            f"The answer could not be written to stdout: {exc.strerror}.",
            hint="Redirect stdout to where it can be written whole, or use -o FILE.",
        ) from exc


_secrets: set[str] = set()


def keep_secret(text: str) -> None:
    """Never let this be written to stderr, not even by a traceback that quotes what a server sent back."""
    _secrets.add(text)


def write_stderr(text: str) -> None:
    """Write text to file descriptor 2 as UTF-8. Never raises OSError: there is nowhere left to report it."""
    for secret in _secrets:
        text = text.replace(secret, "…")
    if sys.stderr is not None:
        with suppress(OSError):
            _write_all(2, text.encode("utf-8", "backslashreplace"))


def write_file(path: str, data: bytes) -> None:
    """Write the whole answer to a file, which keeps its old content until the new one is whole.

    Links are followed. The new file has the mode and, as far as permitted, the owner of the old one. What is not a
    regular file (a pipe, a device), and what is stdout or stderr under another name, is written straight.
    Raises OutputError, and BrokenPipeError when the reader of a pipe went away.
    """
    try:
        old = _existing(path)
        stream = old and _standard_stream(old)
        if stream:
            _write_all(stream, data)
        elif old and not stat.S_ISREG(old.st_mode):
            _write_straight(path, data)
        else:
            _replace(Path(os.path.realpath(path)), old, data)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputError(
            f"The answer could not be written to '{visible(path)}': {exc.strerror}.",
            hint=_HINTS.get(exc.errno or 0, "Name a file in a place where you may write."),
        ) from exc


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
    for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
        with suppress(OSError):
            if stream is not None and os.path.samestat(os.fstat(fd), found):
                return fd
    return None


def _write_straight(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NOCTTY)
    try:
        _write_all(fd, data)
    finally:
        os.close(fd)


def _replace(target: Path, old: os.stat_result | None, data: bytes) -> None:
    """Write a temporary file beside the target, bring it to the disk, and rename it."""
    if old and not os.access(target, os.W_OK):  # a rename would not ask
        raise _os_error(errno.EACCES)
    temporary, fd = _temporary(target, 0o600 if old else 0o666)
    try:
        try:
            if old:
                for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
                    with suppress(OSError):  # only root may give a file away, members may give it to a group
                        os.fchown(fd, owner, group)
                os.fchmod(fd, stat.S_IMODE(old.st_mode))
            _write_all(fd, data)
            os.fsync(fd)
            temporary.replace(target)
        finally:
            os.close(fd)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _temporary(target: Path, mode: int) -> tuple[Path, int]:
    """Return a new file beside the target, opened; those that killed runs left there are removed.

    Whoever writes one holds a lock on it, which the kernel frees when the process is gone.
    """
    # 50 characters are at most 200 bytes, which leaves room for the rest in a name of 255.
    start, end = f".{target.name[:50]}.acme-", ".tmp"
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
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):  # another run took it for abandoned before it was locked
            if os.path.samestat(temporary.stat(), os.fstat(fd)):
                return temporary, fd
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    """Bring the rename to the disk where the file system can; the file is whole either way."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # another program made the shared pipe non-blocking
            select.select([], [fd], [])


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
