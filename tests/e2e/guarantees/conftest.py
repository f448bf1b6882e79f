"""How long the attacks are, the servers that make them, and what a customer notices."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest

from .hostile import Hostile

if TYPE_CHECKING:
    from conftest import Acme, Ran, Server, Shop

T = TypeVar("T")

ROUNDS = {
    "flips": (6, 300),
    "flips in names": (12, 200),
    "truncations": (2, 60),
    "zeroed pages": (2, 60),
    "damaged logs": (4, 60),
    "kills among writers": (6, 200),
    "planted rows": (4, 27),
    "kills of -o": (10, 100),
    "kills of a first run": (6, 60),
    "signals at random": (5, 100),
    "processes": (6, 32),
    "leaders killed": (2, 20),
    "users": (7, 60),
}
"""How often each attack is made: in CI, and in full."""


@pytest.fixture
def rounds() -> Callable[[str], int]:
    """Return a function: the name of an attack in, how many rounds of it out; `ACME_ATTACK=full` asks for all."""
    full = os.environ.get("ACME_ATTACK") == "full"
    return lambda attack: ROUNDS[attack][full]


@pytest.fixture
def some() -> Callable[[Sequence[T]], Sequence[T]]:
    """Return a function that picks a third of many like attacks, or all of them if `ACME_ATTACK=full`."""
    full = os.environ.get("ACME_ATTACK") == "full"
    return lambda attacks: attacks if full else attacks[::3]


@pytest.fixture(scope="session")
def hostile() -> Iterator[Hostile]:
    """A server of hazards: `hostile.place(talk)` gives the base URL of one, and what reaches it."""
    server = Hostile()
    yield server
    server.close()


@pytest.fixture
def other_host() -> Iterator[Hostile]:
    """Another host, which nobody has any reason to ask."""
    server = Hostile("127.0.0.2")
    yield server
    server.close()


class Timed(NamedTuple):
    """A run, and how long (s) it took."""

    ran: "Ran"
    seconds: float


class Customer:
    """Asks a shop of two products for ann's ranking, and knows the answer. The cache is `folder`."""

    def __init__(self, acme: "Acme", url: str, shop: "Shop") -> None:
        self.acme, self.url, self.shop = acme, url, shop
        self.folder = acme.cache / "responses-v1"
        self.database = self.folder / "cache.db"
        self.answer = self.ask("--no-cache").out_bytes
        assert self.answer.startswith(b"[{")
        shop.log.clear()

    def arguments(self, *options: str, name: str = "ann") -> list[str]:
        """Return the arguments of a run."""
        return ["popular", name, "--json", "--retries", "0", "--api-url", self.url, *options]

    def ask(self, *options: str, name: str = "ann", **how: Any) -> "Ran":
        """Run to the end."""
        return self.acme(*self.arguments(*options, name=name), **how)

    def timed(self, *options: str, **how: Any) -> Timed:
        """Run to the end by the clock."""
        start = time.monotonic()
        ran = self.ask(*options, **how)
        return Timed(ran, time.monotonic() - start)

    def is_right(self, ran: "Ran", *, warnings: int) -> None:
        """Assert that the answer is right, and came with at most so many warnings and nothing else."""
        assert (ran.code, ran.out_bytes) == (0, self.answer), ran.err
        lines = ran.err.splitlines()
        assert len(lines) <= warnings, ran.err
        assert [line for line in lines if not line.startswith("acme: warning: ")] == []

    def right(self, *options: str, warnings: int = 0, **how: Any) -> "Ran":
        """Run, and assert the same."""
        ran = self.ask(*options, **how)
        self.is_right(ran, warnings=warnings)
        return ran

    def connect(self) -> sqlite3.Connection:
        """Return another program's connection to the cache's database."""
        return sqlite3.connect(self.database, isolation_level=None)

    def used(self) -> int:
        """Return the bytes of all files in the cache folder."""
        total = 0
        for file in self.acme.cache.rglob("*"):
            try:
                total += file.lstat().st_size
            except FileNotFoundError:
                continue
        return total


@pytest.fixture
def customer(acme: "Acme", api: "Server", make_shop: Callable[..., "Shop"]) -> Customer:
    """A customer whose answer takes six requests."""
    shop = make_shop({1: 8, 2: 5})
    return Customer(acme, api.url(shop), shop)


@pytest.fixture
def stored(customer: Customer, tmp_path: Path) -> Callable[[], Customer]:
    """Return a function that gives a customer whose cache is as it was after one run."""
    customer.right()
    kept = tmp_path / "kept"
    shutil.copytree(customer.acme.cache, kept)

    def restore() -> Customer:
        shutil.rmtree(customer.acme.cache)
        shutil.copytree(kept, customer.acme.cache)
        customer.shop.log.clear()
        return customer

    return restore


MOUNT = 'mount -t tmpfs -o "$1" none "$2" || exit 99; shift 2; for n in 1 2; do "$@"; done'


def can_mount() -> bool:
    return (
        os.geteuid() == 0
        and shutil.which("unshare") is not None
        and not subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True
        ).returncode
    )


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
ENDLESS_VIEW = (
    f"ALTER TABLE Cache RENAME TO Old; CREATE VIEW Cache AS {ENDLESS}"
    " SELECT 1 raw, 1 mode, NULL filename, x'00' value, 0.5 store_time, 0 size, 'http' || x key FROM c"
)
"""SQL for which reading one row takes for ever."""

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    database.execute(statement)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(database: Path, *statements: str) -> Iterator[None]:
    """Another process has carried these statements out, and holds what they took."""
    command = [sys.executable, "-c", HOLD, str(database), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.kill()


_PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], timeout=20).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


@pytest.fixture
def peak(acme: "Acme") -> Callable[..., tuple["Ran", float]]:
    """Return a function that runs `acme` and returns what came of it, and the most memory (MiB) that it had.

    A small process starts it: a child's peak is never less than what its parent had.
    """
    file = acme.folder / "peak"

    def run(*arguments: str) -> tuple["Ran", float]:
        ran = acme(*arguments, command=[sys.executable, "-S", "-c", _PEAK, str(file), acme.program])
        return ran, int(file.read_text()) / 1024

    return run
