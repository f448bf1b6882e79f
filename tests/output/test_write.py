"""Writing: whole or an error, the old file or the new one, and nothing left behind."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acme_cli.errors import OutputError
from acme_cli.output import files, write
from acme_cli.output.files import write_file
from acme_cli.output.write import write_stderr, write_stdout

DATA = "answer 。◕‿◕。\n".encode()


def run(code: str, redirection: str = "", env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[bytes]":
    """Run Python code with the writers imported, under a shell's redirection; exit code 8 stands for OutputError."""
    script = f"""
import sys
from acme_cli.errors import OutputError
from acme_cli.output.files import write_file
from acme_cli.output.write import write_stderr, write_stdout
try:
    {code}
except OutputError as exc:
    write_stderr(exc.message)
    sys.exit(8)
"""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, script],
        capture_output=True,
        check=False,
        timeout=20,
        env=env,
    )


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


# stdout and stderr


def test_stdout_gets_the_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_stdout(DATA)
    write_stdout(b"")
    assert capfdbinary.readouterr().out == DATA


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        (">/dev/full", b"The answer could not be written to stdout: No space left on device."),
        (">&-", b"The answer could not be written to stdout: Bad file descriptor."),
        ("1</dev/null", b"The answer could not be written to stdout: Bad file descriptor."),
    ],
)
def test_stdout_that_takes_nothing_is_an_error(redirection: str, message: bytes) -> None:
    done = run("write_stdout(b'x')", redirection)
    assert (done.returncode, done.stderr) == (8, message)


def test_a_closed_stdout_never_spoils_the_file_that_got_its_number(tmp_path: Path) -> None:
    other = tmp_path / "other"
    done = run(f"f = open({str(other)!r}, 'w'); assert f.fileno() == 1; write_stdout(b'x')", ">&-")
    assert done.returncode == 8
    assert other.read_bytes() == b""


def test_a_reader_that_went_away_is_the_callers_business(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_fd: int, _data: bytes) -> None:
        raise BrokenPipeError

    for room in (write, files):
        monkeypatch.setattr(room, "write_all", broken)
    with pytest.raises(BrokenPipeError):
        write_stdout(DATA)
    with pytest.raises(BrokenPipeError):
        write_file("/dev/null", DATA)
    with pytest.raises(BrokenPipeError):
        write_file(str(tmp_path / "file"), DATA)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_does_not_block_gets_all() -> None:
    done = run("import os; os.set_blocking(1, False); write_stdout(b'x' * 1_000_000)")
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1_000_000, b"")


def test_stderr_gets_utf8_whatever_the_locale() -> None:
    done = run(r"write_stderr('\u25d5\ud800\n')", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.stderr == b"\xe2\x97\x95\\ud800\n"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_stderr_never_fails(redirection: str) -> None:
    done = run("write_stderr('x'); write_stdout(b'x')", redirection)
    assert (done.returncode, done.stdout) == (0, b"x")


def test_stderr_closed_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(write, "write_all", lambda *_: pytest.fail("written"))
    write_stderr("x")
    assert sys.stderr is None


# files


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "new"
    old_umask = os.umask(0o027)
    try:
        write_file(str(file), DATA)
    finally:
        os.umask(old_umask)
    assert file.read_bytes() == DATA
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o755])
def test_an_old_file_gives_its_mode_and_another_inode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "old"
    file.write_text("old")
    file.chmod(mode)
    inode = file.stat().st_ino
    write_file(str(file), DATA)
    assert file.read_bytes() == DATA
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.stat().st_ino != inode


def test_a_name_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_file("file", DATA)
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, dangling: bool) -> None:
    target = tmp_path / "folder" / "target"
    target.parent.mkdir()
    if not dangling:
        target.write_text("old")
    link, link_to_link = tmp_path / "link", tmp_path / "link_to_link"
    link.symlink_to("folder/target")
    link_to_link.symlink_to(link)
    write_file(str(link_to_link), DATA)
    assert link.is_symlink()
    assert link_to_link.is_symlink()
    assert target.read_bytes() == DATA
    assert leftovers(target.parent) == []


@pytest.mark.parametrize("name", ["x" * 255, "◕" * 85, "x" * 251 + "😀"])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write_file(str(file), b"first")
    write_file(str(file), DATA)
    assert file.read_bytes() == DATA


def test_a_pipe_is_written_straight(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    write_file(str(fifo), DATA)
    reader.join(10)
    assert got == [DATA]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_device_is_written_straight() -> None:
    write_file("/dev/null", DATA)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_stdout_by_name_is_not_replaced(tmp_path: Path, name: str) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    done = run(f"write_file({name!r}, b'answer')", f">>'{log}'")
    assert (done.returncode, done.stderr) == (0, b"")
    assert log.read_text() == "before\nanswer"
    assert run(f"write_file({name!r}, b'answer')").stdout == b"answer"


def test_stdout_by_name_when_it_is_closed() -> None:
    done = run("write_file('/dev/stdout', b'answer')", ">&-")
    assert done.returncode == 8
    assert done.stderr.startswith(b"The answer could not be written to '/dev/stdout': ")


@pytest.mark.parametrize(
    ("path", "reason", "hint"),
    [
        ("{}", "Is a directory", "Name a file, not a folder."),
        ("{}/", "Is a directory", "Name a file, not a folder."),
        ("{}/new/", "Is a directory", "Name a file, not a folder."),
        ("{}/new/.", "Is a directory", "Name a file, not a folder."),
        ("{}/missing/file", "No such file or directory", "Create the folder first"),
        ("{}/file/file", "Not a directory", "where you may write"),
        ("{}/loop", "Too many levels of symbolic links", "where you may write"),
        ("{}/" + "x" * 256, "File name too long", "where you may write"),
        ("", "No such file or directory", "Create the folder first"),
        ("a\0b", "No such file or directory", "Create the folder first"),
        ("/dev/full", "No space left on device", "Free some space"),
    ],
)
def test_what_cannot_be_written_is_a_clear_error(tmp_path: Path, path: str, reason: str, hint: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    path = path.format(tmp_path)
    with pytest.raises(OutputError) as caught:
        write_file(path, DATA)
    shown = path.replace("\0", r"\u0000")
    assert caught.value.message == f"The answer could not be written to '{shown}': {reason}."
    assert hint in (caught.value.hint or "")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "loop"]


def test_a_file_that_may_not_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "read_only"
    file.write_text("old")
    file.chmod(0o444)
    if os.geteuid() == 0:  # root may write everything, so the answer of the system is put in its mouth
        monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    with pytest.raises(OutputError, match="Permission denied"):
        write_file(str(file), DATA)
    assert file.read_text() == "old"


@pytest.mark.parametrize("call", ["write_all", "fsync", "replace"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failure: BaseException, raised: type[BaseException]
) -> None:
    file = tmp_path / "old"
    file.write_text("old")

    def fail(*_: object) -> None:
        raise failure

    owner: object = {"write_all": files, "fsync": os, "replace": Path}[call]
    monkeypatch.setattr(owner, call, fail)
    with pytest.raises(raised):
        write_file(str(file), DATA)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def only_files(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(fd)

    monkeypatch.setattr(os, "fsync", only_files)
    write_file(str(tmp_path / "file"), DATA)
    assert (tmp_path / "file").read_bytes() == DATA


KILLED = """
import os, pathlib, random, signal, sys, time
from acme_cli.output.files import write_file
path, chance = pathlib.Path(sys.argv[1]), random.Random(1)
contents = {letter * 300_000 for letter in (b"a", b"b")}
write_file(str(path), b"a" * 300_000)
for _ in range(100):
    child = os.fork()
    if not child:
        while True:
            for content in contents:
                write_file(str(path), content)
    time.sleep(chance.random() * 0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() in contents
print("whole", 100)
"""


def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole 100\n", "")
    assert all(name.startswith(".file.acme-") for name in leftovers(tmp_path))


def test_what_killed_runs_left_is_removed_and_what_others_are_writing_is_not(tmp_path: Path) -> None:
    left, others, similar = (tmp_path / name for name in (".a.acme-1.tmp", ".a.acme-2.tmp", ".a.acme-3.old"))
    for file in (left, others, similar):
        file.write_bytes(b"half")
    with others.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        write_file(str(tmp_path / "a"), b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([others, similar, tmp_path / "a"])
