"""Where bytes leave the program by its standard streams: whole, or an error."""

import errno
import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

from acme_cli.errors import OutputError

_PIECE = 2**16


def write_stdout(data: bytes) -> None:
    """Write the whole answer to file descriptor 1.

    Raises BrokenPipeError when the reader of a pipe went away, OutputError for every other failure.
    """
    try:
        if sys.__stdout__ is None:  # closed since the start, so that the number may by now be another file's
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # noqa: TRY301  said as every other failure is
        write_all(1, data)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputError(
            f"The answer could not be written to stdout: {exc.strerror}.",
            hint="Redirect stdout to where it can be written whole, or use -o FILE.",
        ) from exc


def check_reader() -> None:
    """Raise BrokenPipeError if stdout is a pipe that nobody reads any more: what is being made is for nobody."""
    poll = select.poll()
    poll.register(1, 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError


def in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces that are worth a call of the system each."""
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


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
            write_all(2, text.encode("utf-8", "backslashreplace"))


def write_all(fd: int, data: bytes) -> None:
    """Write everything to a file descriptor, also to a pipe that is set not to block. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # another program made the shared pipe non-blocking
            select.select([], [fd], [])
