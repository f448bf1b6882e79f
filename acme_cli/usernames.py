"""Usernames from a file or a pipe, one a line, as they come."""

import codecs
import os
import select
from collections.abc import Iterator

from .errors import UsageError

_LONGEST_LINE = 2**20


def read_usernames(stream: int, pipe: int | None = None) -> Iterator[list[str]]:
    """Yield the names that come from a file descriptor, in batches; an empty one when no more are there for now.

    Blank lines and those that start with # are skipped, as is space around a name. Raises UsageError for a line that
    does not end, and for what cannot be read; BrokenPipeError when the reader of `pipe`, who all this is for, is gone.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    if pipe is not None:
        poll.register(pipe, 0)
    rest = ""
    while True:
        if not poll.poll(0):
            yield []
        ready = dict(poll.poll())  # waits here, since another program may have set the stream not to block
        if pipe is not None and ready.get(pipe, 0) & select.POLLERR:
            raise BrokenPipeError
        try:
            received = os.read(stream, 2**16)
        except OSError as error:
            raise UsageError(f"the usernames cannot be read from stdin: {error.strerror}") from error
        *lines, rest = (rest + decoder.decode(received, final=not received)).split("\n")
        if len(rest) > _LONGEST_LINE:
            raise UsageError("stdin holds no usernames: a line of it does not end", "give one name a line")
        if not received:
            lines.append(rest)
        names = [name for line in lines if (name := line.strip()) and not name.startswith("#")]
        if names:
            yield names
        if not received:
            return
