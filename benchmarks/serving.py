"""Starting the stand-in server in a process of its own, and asking it what it was asked."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.server import Log

ROOT = Path(__file__).parents[1]


class Server(NamedTuple):
    """A running stand-in; `url` is its base URL."""

    url: str

    def latency(self, seconds: float) -> None:
        """Let every request from now on take that long."""
        self._control(f"latency?{seconds}")

    def log(self) -> Log:
        """Return what was asked since the last call."""
        return msgspec.json.decode(self._control("log"), type=Log)

    def usernames(self) -> list[str]:
        """Return every user's name."""
        with urllib.request.urlopen(f"{self.url}users?limit={10**9}", timeout=60) as response:
            users = msgspec.json.decode(response.read(), type=dict[str, list[dict[str, str]]])["users"]
        self.log()
        return [user["username"] for user in users]

    def _control(self, order: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}control/{order}", timeout=60) as response:
            body: bytes = response.read()
        return body


@contextmanager
def serving(*, users: int = 0, products: int = 0, purchases: int = 0, data: Path | None = None) -> Iterator[Server]:
    """Give a server of made-up data of that size, or of a file's, without latency."""
    command = [sys.executable, "-m", "benchmarks.server", "--users", str(users)]
    command += ["--products", str(products), "--purchases", str(purchases)]
    command += ["--data", str(data)] if data is not None else []
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait()
