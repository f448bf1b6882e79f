"""What can go wrong, as one tree, and the exit code of each.

AcmeError
├── UsageError            2    a bad option, setting or input file
├── UserNotFound          3
├── ApiError              4    the API answered, wrongly
│   ├── ApiStatusError         an error status
│   └── PayloadError           a body that makes no sense
├── ApiUnreachable        5    no answer in time
│   └── OfflineMiss            --offline, and nothing stored
├── OutputLocked          7    another run writes the same file
└── OutputError           8    the answer could not be written whole

``Stopped`` stands apart: a signal is not an error that code may handle.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    BUG = 1
    USAGE = 2
    USER_NOT_FOUND = 3
    API_ERROR = 4
    API_UNREACHABLE = 5
    SOME_USERS_FAILED = 6
    LOCKED = 7
    OUTPUT = 8
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143


class AcmeError(Exception):
    """An expected failure: one message for the user, perhaps a hint, an exit code and a stable name (`code`)."""

    exit: ClassVar[ExitCode] = ExitCode.BUG
    code: ClassVar[str] = "unexpected"
    may_use_stale: bool = False
    """Whether an old stored answer may stand in for the failed request."""
    unasked: bool = False
    """Whether the request was not even made, since too many had failed."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        # Exception's own __init__ is left out: it would drop the arguments that copying an error needs.
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


def without_frames(error: AcmeError) -> AcmeError:
    """Return it with bare causes: tracebacks keep the frames of all functions alive, and in these whole responses."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


class UsageError(AcmeError):
    """The command line, a setting or an input file is wrong."""

    exit = ExitCode.USAGE
    code = "usage"


class UserNotFound(AcmeError):
    """The API knows no user of that name. The message is fixed: programs match it."""

    exit = ExitCode.USER_NOT_FOUND
    code = "user_not_found"

    def __init__(self, username: str, hint: str | None = None) -> None:
        super().__init__(f"User with username of '{username}' was not found", hint)


class ApiError(AcmeError):
    """The API answered, and the answer is of no use."""

    exit = ExitCode.API_ERROR
    code = "api_error"
    may_use_stale = True


class ApiStatusError(ApiError):
    """An error status. An outage may be bridged with old data; a refusal (401, 403, a redirect, …) may not."""

    code = "api_status"

    def __init__(self, message: str, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.may_use_stale = status >= 500 or status in {408, 429}


class PayloadError(ApiError):
    """A body that cannot be read; the message names the place in it."""

    code = "api_payload"


class ApiUnreachable(AcmeError):
    """No answer: connection failed, timed out, or was cut."""

    exit = ExitCode.API_UNREACHABLE
    code = "api_unreachable"
    may_use_stale = True


class OfflineMiss(ApiUnreachable):
    """--offline, and nothing (or nothing recent enough) is stored."""

    code = "offline_miss"


class OutputLocked(AcmeError):
    """Another run holds the lock on this output."""

    exit = ExitCode.LOCKED
    code = "locked"


class OutputError(AcmeError):
    """The answer could not be written whole."""

    exit = ExitCode.OUTPUT
    code = "output"


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived; `exit` is the code to end with."""

    def __init__(self, exit: ExitCode) -> None:  # noqa: A002  the name it has on the other errors
        super().__init__(exit)
        self.exit = exit
