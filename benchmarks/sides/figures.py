"""Taking the time and the memory of this process."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class Figures(msgspec.Struct):
    """Seconds of wall and of CPU, all threads; the peak of memory before and after, in bytes; what came of it.

    `before` is the bare process: all is imported and nothing done.
    """

    wall: float = 0
    cpu: float = 0
    before: int = 0
    after: int = 0
    outcome: str = ""


@contextmanager
def taken() -> Iterator[Figures]:
    """Give figures that are complete once the block has ended."""
    figures = Figures(before=_peak())
    wall, cpu = time.perf_counter(), time.process_time()
    yield figures
    figures.wall, figures.cpu = time.perf_counter() - wall, time.process_time() - cpu
    figures.after = _peak()


def report(figures: Figures) -> None:
    """Hand the figures to the process that started this one."""
    sys.stdout.buffer.write(msgspec.json.encode(figures))


def _peak() -> int:
    """Return the most memory so far. What getrusage says would hold that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
