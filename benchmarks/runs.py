"""Running what is measured: in processes and environments of its own, in turn with what it is held against."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from benchmarks.serving import ROOT
from benchmarks.sides.figures import Figures

T = TypeVar("T")

ACME = str(Path(sys.executable).with_name("acme"))
TOO_LONG = 300


class Plan(NamedTuple):
    """How much is measured: `scratch` is a folder of this run; `quick` asks for small data and few runs."""

    scratch: Path
    quick: bool

    def runs(self, usual: int, quick: int = 1) -> int:
        """Return how many times to run something that is usually run so often."""
        return quick if self.quick else usual

    def environment(self, **more: str) -> dict[str, str]:
        """Return all that a child knows of the machine. Its home is the scratch folder."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.scratch), "LC_ALL": "C.UTF-8", **more}


class WrongAnswer(Exception):
    """What is measured does something else than what it is held against."""


def timed(command: Sequence[str], environment: Mapping[str, str], given: bytes = b"") -> tuple[float, bytes]:
    """Run to the end, and return the seconds it took and what it said. Raises CalledProcessError."""
    start = time.perf_counter()
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=given, env=environment, timeout=TOO_LONG)
    return time.perf_counter() - start, ran.stdout


def side(name: str, arguments: Sequence[object], environment: Mapping[str, str]) -> Figures:
    """Run one of `benchmarks.sides` in a fresh process, and return what it measured."""
    command = [sys.executable, "-m", f"benchmarks.sides.{name}", *map(str, arguments)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment, timeout=TOO_LONG)
    return msgspec.json.decode(ran.stdout or b"{}", type=Figures)


def in_turn(runs: int, measured: Mapping[str, Callable[[], T]], *, warm: bool = True) -> dict[str, list[T]]:
    """Run all of them, over and over, so that a busy machine slows them alike; return what they gave, by name.

    With `warm`, a first round does not count.
    """
    taken: dict[str, list[T]] = {name: [] for name in measured}
    for turn in range(runs + warm):
        for name, measure in measured.items():
            result = measure()
            if turn >= warm:
                taken[name].append(result)
    return taken


def same(what: str, answers: Sequence[object]) -> None:
    """Raise WrongAnswer unless all are equal."""
    if any(answer != answers[0] for answer in answers):
        raise WrongAnswer(f"{what}: {' or '.join(str(answer)[:300] for answer in answers)}")
