"""The lock on a file of `-o`: one run at a time, and nothing left behind."""

import errno
import fcntl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acme_cli.errors import OutputError, OutputLocked
from acme_cli.output.files import locked, replaced, write_file

HOLDER = """
import sys
from acme_cli.output.files import locked
with locked(sys.argv[1], 0):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[bytes]":
    """Return another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_one_at_a_time_and_nothing_left(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with holder(path) as other:
        with pytest.raises(OutputLocked, match="another run is writing"), locked(str(path), 0):
            pytest.fail("not locked")
        other.communicate()
    with locked(str(path), 0):
        write_file(str(path), b"whole")
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_is_waited_for_is_had_once_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with holder(path) as other:
        assert other.stdin is not None
        other.stdin.close()
        with locked(str(path), 20):
            assert other.wait() == 0


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with holder(tmp_path / "out") as other:
        start = time.monotonic()
        with pytest.raises(OutputLocked), locked(str(tmp_path / "out"), 0.2):
            pytest.fail("not locked")
        assert time.monotonic() - start >= 0.2
        other.communicate()


def test_the_lock_of_a_killed_run_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with holder(path) as other:
        other.kill()
    assert [item.name for item in tmp_path.iterdir()] == [".out.acme.lock"]
    with locked(str(path), 0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_where_no_lock_can_be_made_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"), locked(str(tmp_path / "missing" / "out"), 0):
        pytest.fail("locked")


def test_a_device_is_shared() -> None:
    with locked("/dev/null", 0), locked("/dev/null", 0), replaced("/dev/null") as write:
        write(b"gone")


def test_what_is_written_in_parts_appears_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with replaced(str(path)) as write:
        write(b"ne")
        assert path.read_bytes() == b"old"
        write(b"w")
    assert path.read_bytes() == b"new"


def test_targets_with_long_names_have_locks_of_their_own(tmp_path: Path) -> None:
    start = "popular-purchases-of-all-customers-of-the-northern-shop-2026-10-"
    with locked(str(tmp_path / f"{start}01.html"), 0), locked(str(tmp_path / f"{start}02.html"), 0):
        assert len(list(tmp_path.iterdir())) == 2
    write_file(str(tmp_path / ("x" * 255)), b"whole")


def test_a_temporary_file_that_another_run_took_for_abandoned_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is locked by the one who is about to remove it."""
    real, calls = fcntl.flock, iter([True])

    def flock(fd: int, operation: int) -> None:
        if next(calls, False):
            raise BlockingIOError
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with replaced(str(tmp_path / "out")) as write:
        assert len(list(tmp_path.iterdir())) == 2
        write(b"whole")
    assert (tmp_path / "out").read_bytes() == b"whole"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(str(tmp_path / "out"), 0):
        write_file(str(tmp_path / "out"), b"whole")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
