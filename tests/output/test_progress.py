"""The spinner: when it draws, and that it leaves nothing behind."""

import errno
import io
import os
import re
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from acme_cli.output import progress as module
from acme_cli.output.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def drawn(
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: float = 0.31,
    later: float = 0.1,
    enabled: bool = True,
    term: str = "xterm",
    encoding: str = "utf-8",
    ending: BaseException | None = None,
) -> str:
    """Return what a pseudo-terminal as stderr received of a block that reports twice and may end badly."""
    reader, writer = os.openpty()
    monkeypatch.setenv("TERM", term)
    with os.fdopen(reader, "rb", buffering=0) as screen, os.fdopen(writer, "w", encoding=encoding) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with pytest.raises(type(ending)) if ending else nullcontext(), progress(enabled) as show:
            clock.now += after
            show(lambda: "1 of 12 requests")
            show(lambda: "too soon after it")
            clock.now += later
            show(lambda: "2 of 12 requests")
            if ending:
                raise ending
        stderr.write("END")
        stderr.flush()
        received = b""
        while not received.endswith(b"END"):
            received += screen.read(65536)
    return received.decode(encoding).removesuffix("END")


def test_nothing_in_the_first_300_ms(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(clock, monkeypatch, after=0.29, later=0) == ""


def test_nothing_when_disabled(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(clock, monkeypatch, after=60, enabled=False) == ""


def test_nothing_on_a_dumb_terminal(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(clock, monkeypatch, term="dumb") == ""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("ending", [None, KeyboardInterrupt(), SystemExit(1), ValueError()])
def test_the_line_is_wiped_however_it_ends(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, encoding: str, ending: BaseException | None
) -> None:
    shown = drawn(clock, monkeypatch, encoding=encoding, ending=ending)
    assert "1 of 12 requests" in shown
    assert "2 of 12 requests" in shown
    assert "too soon" not in shown
    assert shown.startswith("\x1b[?25l")  # the cursor is hidden
    assert re.search(r"\x1b\[\?25h\r?\x1b\[1A\x1b\[2K$", shown)  # it is back; one line up, and wiped


def test_a_terminal_that_went_away_stops_nothing(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        writes = 0

        def write(self, _text: str) -> int:
            self.writes += 1
            raise OSError(errno.EIO, "Input/output error")

    gone = Gone()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", gone)
    with progress(True) as show:
        clock.now += 1
        show(lambda: "1 of 12 requests")
        clock.now += 1
        show(lambda: "2 of 12 requests")
    assert gone.writes > 0
