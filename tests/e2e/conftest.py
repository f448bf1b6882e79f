"""The installed command in a scrubbed environment, and a data API that departs from its contract as told."""

import hashlib
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, unquote

import pytest

TIMEOUT = 60
Row = dict[str, Any]
Argument = str | bytes | Path

# --- the command ---


@dataclass
class Ran:
    """What came of one run."""

    code: int
    out_bytes: bytes
    err: str

    @property
    def out(self) -> str:
        """stdout as text."""
        return self.out_bytes.decode()

    @property
    def json(self) -> Any:
        """stdout as JSON, of a run that succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out_bytes)


class Acme:
    """Runs `acme` in `folder`, which is its home as well, with nothing of this process's environment but PATH."""

    def __init__(self, folder: Path) -> None:
        beside = Path(sys.executable).with_name("acme")
        program = str(beside) if beside.exists() else shutil.which("acme")
        assert program, "acme is not installed"
        self.program: str = program
        self.folder = folder
        self.cache = folder / "cache" / "acme"
        coverage = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
        self.coverage = {name: os.environ[name] for name in coverage if name in os.environ}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            **self.coverage,
        }

    def start(self, *arguments: Argument, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start a run; stdout and stderr are pipes unless `options` say otherwise."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = options.pop("command", [self.program])
        environment = options.pop("whole_environment", self.environment | (env or {}))
        return subprocess.Popen([*command, *arguments], env=environment, cwd=self.folder, **options)

    def __call__(self, *arguments: Argument, env: dict[str, str] | None = None, **options: Any) -> Ran:
        """Run to the end."""
        with self.start(*arguments, env=env, **options) as process:
            try:
                out, err = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Ran(process.returncode, out or b"", (err or b"").decode())

    def on_terminal(
        self, *arguments: Argument, env: dict[str, str] | None = None, columns: int = 80, stream: str = "stdout"
    ) -> Ran:
        """Run with `stream` (or both) on a terminal so wide; the other one is a pipe."""
        parent, child = pty.openpty()
        termios.tcsetwinsize(child, (24, columns))
        attributes = termios.tcgetattr(child)
        attributes[1] &= ~termios.OPOST  # bytes as they are written, without CR before LF
        termios.tcsetattr(child, termios.TCSANOW, attributes)
        options = dict.fromkeys(("stdout", "stderr") if stream == "both" else (stream,), child)
        with self.start(*arguments, env={"TERM": "xterm-256color"} | (env or {}), **options) as process:
            os.close(child)
            seen = bytearray()
            with suppress(OSError):  # EIO is how a terminal says that nobody writes any more
                while chunk := os.read(parent, 65536):
                    seen += chunk
            out, err = process.communicate(timeout=TIMEOUT)
        os.close(parent)
        return Ran(process.returncode, out or bytes(seen), (bytes(seen) if stream == "stderr" else err or b"").decode())


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    """The installed command, with a home and a cache of its own."""
    return Acme(tmp_path)


# --- the data API ---


class Request(NamedTuple):
    """One request: its path below the base URL as sent, its headers in lower case, and when (s) it was worked on."""

    path: str
    headers: dict[str, str]
    start: float
    end: float


class Fault(NamedTuple):
    status: int | None
    body: bytes
    headers: tuple[tuple[str, str], ...]


DATE_STYLES: tuple[Callable[[datetime], str], ...] = (
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S"),
    lambda moment: moment.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
)

DEPARTURES = {
    "camel": "D1",
    "bare": "D2",
    "empty_missing": "D3",
    "no_purchases_404": "D5",
    "exclusive_limit": "D6",
    "shifting": "D11: a purchase of each product is made while its pages are read",
    "ignores_skip": "D12",
    "extras": "D13",
    "date_styles": "D15",
    "capped": "D18",
}
"""The departures that are habits of the server. D8, D9, D10, D14, D16 and D17 are a matter of the data."""


@dataclass
class Shop:
    """A data set and the habits of the server that answers from it.

    `purchases` stand in the order in which they are sent. Change `by_user` and `by_product` for a server that
    contradicts itself.
    """

    users: Sequence[str]
    products: dict[int, Row]
    purchases: Sequence[Row]
    departures: set[str] = field(default_factory=set)
    cap: int = 50
    etags: bool = True
    latency: Callable[[str], float] = lambda path: 0.0
    """Seconds that an answer takes, by the path below the base URL."""
    faults: dict[str, Fault] = field(default_factory=dict)
    log: list[Request] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when a request has come in."""
    gate: threading.Event = field(default_factory=threading.Event)
    """No request is answered before it is set; it is, unless a test clears it."""

    def __post_init__(self) -> None:
        assert self.departures <= DEPARTURES.keys()
        self.gate.set()
        self.by_user: dict[str, list[Row]] = {}
        self.by_product: dict[int, list[Row]] = {product_id: [] for product_id in self.products}
        for row in self.purchases:
            self.by_user.setdefault(row["username"], []).append(row)
            self.by_product.setdefault(row["product_id"], []).append(row)

    def departing(self, *departures: str, cap: int = 50) -> "Shop":
        """Return a shop with the same data and these habits."""
        return Shop(self.users, self.products, self.purchases, set(departures), cap)

    def fail(self, status: int | None = 500, body: bytes = b"{}", *headers: tuple[str, str], path: str = "") -> None:
        """From now on send this for every path that starts so; status None closes the connection instead."""
        self.faults[path] = Fault(status, body, headers)

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [request.path for request in self.log]

    def rounds(self) -> int:
        """Return the length of the longest chain of requests of which each began after the one before had ended."""
        chain, free = 0, 0.0
        for request in sorted(self.log, key=lambda request: request.end):
            if request.start >= free:
                chain, free = chain + 1, request.end
        return chain

    def answer(self, path: str) -> tuple[int, bytes]:  # noqa: PLR0911  one for each kind of path
        """Return status and body of GET `path`."""
        path, _, query = path.partition("?")
        kind, _, encoded = path.rpartition("/")
        name, page = unquote(encoded), {key: int(value) for key, value in parse_qsl(query)}
        if not kind and name == "users":
            return self._list([{"username": name, "email": None} for name in self.users], page, "users")
        if kind == "users":
            return self._one("user", {"username": name, "email": f"{name}@example.com"} if name in self.users else None)
        if kind == "products":
            return self._one("product", self.products.get(int(name)))
        if kind == "purchases/by_user":
            rows = self.by_user.get(name)
            if rows is None and (name not in self.users or "no_purchases_404" in self.departures):
                return self._missing({"purchases": []})
            return self._list(rows or [], page)
        if kind == "purchases/by_product" and int(name) in self.by_product:
            rows = self.by_product[int(name)]
            answer = self._list(rows, page)
            if "shifting" in self.departures and page.get("skip", 0) == 0:
                date = datetime.now(UTC)
                rows.insert(0, {"id": 10**9, "username": "newcomer", "product_id": int(name), "date": date})
            return answer
        return self._missing({"purchases": []})

    def _missing(self, empty: object) -> tuple[int, bytes]:
        return (200, json.dumps(empty).encode()) if "empty_missing" in self.departures else (404, b'{"error": "none"}')

    def _one(self, kind: str, found: Row | None) -> tuple[int, bytes]:
        if found is None:
            return self._missing({})
        extras = {"colour": "red", "tags": [{"id": "x"}]} if "extras" in self.departures else {}
        content = found | extras
        return 200, json.dumps(content if "bare" in self.departures else {kind: content} | extras).encode()

    def _list(self, rows: list[Row], page: dict[str, int], key: str = "purchases") -> tuple[int, bytes]:
        skip, limit = page.get("skip", 0), page.get("limit", 10) or 10
        skip = 0 if "ignores_skip" in self.departures else skip
        limit -= "exclusive_limit" in self.departures
        limit = min(limit, self.cap) if "capped" in self.departures else limit
        extras = {"total": "many", "next": None} if "extras" in self.departures else {}
        sent = [self._wire(row) for row in rows[skip : skip + limit]]
        return 200, json.dumps({key: sent} | extras).encode()

    def _wire(self, row: Row) -> Row:
        sent = dict(row)
        if isinstance(row.get("date"), datetime):
            style = DATE_STYLES[row["id"] % len(DATE_STYLES) if "date_styles" in self.departures else 0]
            sent["date"] = style(row["date"])
        if "camel" in self.departures and "product_id" in sent:
            sent["productId"] = sent.pop("product_id")
        if "extras" in self.departures:
            sent["product"] = {"id": None}
        return sent


class Server(ThreadingHTTPServer):
    """Serves any number of shops on one port, each below a path of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shops: dict[str, Shop] = {}
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, shop: Shop) -> str:
        """Return the base URL of the shop, which is served from now on."""
        known = next((prefix for prefix, served in self.shops.items() if served is shop), None)
        prefix = known or f"/shop{len(self.shops)}/api/"
        self.shops[prefix] = shop
        return f"http://127.0.0.1:{self.server_port}{prefix}"

    def close(self) -> None:
        """Stop listening, and let go of requests that are held back."""
        for shop in self.shops.values():
            shop.gate.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients are killed here, and connections cut."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        start = time.monotonic()
        server = cast(Server, self.server)
        prefix = next(prefix for prefix in server.shops if self.path.startswith(prefix))
        shop, path = server.shops[prefix], self.path.removeprefix(prefix)
        shop.asked.set()
        shop.gate.wait(TIMEOUT)
        time.sleep(shop.latency(path))
        fault = next((fault for begins, fault in shop.faults.items() if path.startswith(begins)), None)
        status, body = (fault.status, fault.body) if fault else shop.answer(path)
        headers = list(fault.headers) if fault else []
        if status == 200 and shop.etags and not fault:
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            headers.append(("ETag", etag))
            if self.headers.get("if-none-match") == etag:
                status, body = 304, b""
        sent = {name.lower(): value for name, value in self.headers.items()}
        shop.log.append(Request(path, sent, start, time.monotonic()))
        if status is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        for name, value in [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def _server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def api(_server: Server) -> Iterator[Server]:
    """A server for the shops of the test: `api.url(shop)` is the base URL of one."""
    yield _server
    for shop in _server.shops.values():
        shop.gate.set()


@pytest.fixture
def mortal_api() -> Iterator[Server]:
    """The same, for a test that stops it."""
    server = Server()
    yield server
    server.close()


NEWEST = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _products(ids: Sequence[int]) -> dict[int, Row]:
    return {number: {"id": number, "face": f"( ͡° {number} ͜ʖ)", "price": number * 3, "size": 20} for number in ids}


def _rows(*counts: tuple[int, int], buyers: int = 40) -> list[Row]:
    """Return for each (product id, count) so many purchases by users u0, u1, …, newest first, no two at one time."""
    rows = [
        {"username": f"u{number * 7 % buyers}", "product_id": product_id}
        for product_id, count in counts
        for number in range(count)
    ]
    return [row | {"id": number, "date": NEWEST - timedelta(minutes=number)} for number, row in enumerate(rows)]


@pytest.fixture
def make_shop() -> Callable[..., Shop]:
    """Return a function: purchase counts by product id in, a shop out.

    ann's recent purchases are one of each product in the order given, and count among them; bob has none.
    """

    def make(counts: dict[int, int], *departures: str, cap: int = 50) -> Shop:
        rows = _rows(*((product_id, count - 1) for product_id, count in counts.items()))
        recent = [
            {"id": 10**6 + number, "username": "ann", "product_id": product_id}
            | {"date": NEWEST + timedelta(days=1, minutes=-number)}
            for number, product_id in enumerate(counts)
        ]
        users = ["ann", "bob", *(f"u{number}" for number in range(40))]
        return Shop(users, _products(list(counts)), recent + rows, set(departures), cap)

    return make
