"""The error tree: every error has its exit code and its name, and the drawing shows the tree as it is."""

import re
import subprocess
import sys

import pytest

import acme_cli.errors
from acme_cli.errors import (
    AcmeError,
    ApiError,
    ApiStatusError,
    ApiUnreachable,
    ExitCode,
    OfflineMiss,
    OutputError,
    PayloadError,
    Stopped,
    UsageError,
    UserNotFound,
)


def below(root: type[AcmeError]) -> list[type[AcmeError]]:
    """Return the errors below `root` that the module itself defines."""
    found: list[type[AcmeError]] = []
    for kind in root.__subclasses__():
        if kind.__module__ == acme_cli.errors.__name__:
            found += [kind, *below(kind)]
    return found


KINDS: list[type[AcmeError]] = [AcmeError, *below(AcmeError)]


def drawn() -> list[tuple[str, str | None, int | None]]:
    """Return name, parent and exit code of each class in the drawing."""
    lines = (acme_cli.errors.__doc__ or "").splitlines()
    nodes: list[tuple[str, str | None, int | None]] = []
    parents: list[str] = []
    for line in lines:
        match = re.match(r"^((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)(?: +(\d+))?(?: |$)", line)
        is_node = line == "AcmeError" or "── " in line
        if match and is_node:
            depth = 0 if line == "AcmeError" else len(match[1]) // 4 + 1
            del parents[depth:]
            nodes.append((match[2], parents[-1] if parents else None, int(match[3]) if match[3] else None))
            parents.append(match[2])
    return nodes


def test_the_drawing_is_the_tree() -> None:
    shown = drawn()
    assert [name for name, _, _ in shown] == [kind.__name__ for kind in KINDS]
    for (name, parent, code), kind in zip(shown, KINDS, strict=True):
        base = kind.__bases__[0]
        assert parent == (base.__name__ if issubclass(base, AcmeError) else None), name
        if code is not None:
            assert kind.exit == code, name
        elif issubclass(base, AcmeError):
            assert kind.exit is base.exit, f"{name} has a code of its own that is not drawn"


def test_every_error_has_an_exit_code_and_a_name_of_its_own() -> None:
    for kind in KINDS:
        assert isinstance(kind.exit, ExitCode)
        assert kind.exit not in {ExitCode.OK, ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.PIPE_CLOSED}
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
        assert kind.__doc__
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(kind.exit is not ExitCode.BUG for kind in KINDS[1:])


CONTRACT = {
    "OK": 0,
    "BUG": 1,
    "USAGE": 2,
    "USER_NOT_FOUND": 3,
    "API_ERROR": 4,
    "API_UNREACHABLE": 5,
    "SOME_USERS_FAILED": 6,
    "LOCKED": 7,
    "OUTPUT": 8,
    "INTERRUPTED": 130,
    "PIPE_CLOSED": 141,
    "TERMINATED": 143,
}


def test_exit_codes_are_a_contract() -> None:
    codes = {code.name: code.value for code in ExitCode}
    assert codes.items() <= CONTRACT.items()
    assert codes.keys() >= CONTRACT.keys()


@pytest.mark.parametrize(
    ("error", "code", "exit_code", "may_use_stale"),
    [
        (UsageError("m", "h"), "usage", 2, False),
        (UserNotFound("ann"), "user_not_found", 3, False),
        (ApiError("m"), "api_error", 4, True),
        (PayloadError("m"), "api_payload", 4, True),
        (ApiUnreachable("m"), "api_unreachable", 5, True),
        (OfflineMiss("m"), "offline_miss", 5, True),
        (OutputError("m"), "output", 8, False),
        *[(ApiStatusError("m", status), "api_status", 4, True) for status in (408, 429, 500, 502, 503, 504, 599)],
        *[(ApiStatusError("m", status), "api_status", 4, False) for status in (204, 301, 304, 400, 401, 403, 404, 451)],
    ],
)
def test_errors(error: AcmeError, code: str, exit_code: int, may_use_stale: bool) -> None:
    assert (error.code, error.exit, error.may_use_stale) == (code, exit_code, may_use_stale)
    assert str(error) == error.message
    assert error.hint is None or error.hint == "h"


@pytest.mark.parametrize("name", ["Frannie79", "o'neill", "a b", "Zoë\u202e", ""])
def test_the_message_about_a_missing_user_is_fixed(name: str) -> None:
    error = UserNotFound(name, "try another")
    assert error.message == f"User with username of '{name}' was not found"
    assert error.hint == "try another"


def test_a_signal_is_no_error_that_code_may_handle() -> None:
    assert not issubclass(Stopped, Exception)
    assert Stopped(ExitCode.TERMINATED).exit == 143


def test_a_signal_that_python_would_ignore_ends_the_process() -> None:
    """One that arrives in the middle of a destructor or a weak reference's callback."""
    code = """
import sys
from acme_cli.errors import ExitCode, Stopped
from acme_cli.main import end_if_stopped
sys.unraisablehook = end_if_stopped

class Something:
    def __del__(self):
        raise self.what

for what in (ValueError("ignored"), Stopped(ExitCode.TERMINATED)):
    one = Something()
    one.what = what
    del one
print("went on")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (ran.returncode, ran.stdout) == (143, "")
    assert ran.stderr.endswith("\nacme: terminated\n")
    assert "ValueError: ignored" in ran.stderr
