"""A data API that costs next to nothing: prepared answers over raw sockets, and word of who asked for what when.

    python -m benchmarks.server --users N --products N --purchases N [--seed N] [--data FILE] [--latency SECONDS]

It keeps the contract of the bundled mock server, which would need the core that is to be measured. Its base URL is
the first line on stdout. `control/latency?S` sets the latency; `control/log` tells what was asked since then.
"""

import argparse
import asyncio
import gc
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from mock_server.dataset import Dataset, generate, load

_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found"}
_CONDITION = b"\r\nif-none-match:"


class Log(msgspec.Struct, frozen=True):
    """What was asked: targets below the base URL in order of arrival, bytes of bodies sent, and rounds.

    `rounds` is the length of the longest chain of requests of which each began after the one before was answered.
    """

    targets: list[str]
    sent: int
    rounds: int


class Prepared(NamedTuple):
    """An answer, and the one that says that it has not changed; `length` is that of the body."""

    whole: bytes
    etag: bytes
    unchanged: bytes
    length: int


class Exchange(NamedTuple):
    """One request; times in seconds."""

    target: str
    began: float
    ended: float
    sent: int


class Api:
    """What is answered, and what was asked."""

    def __init__(self, dataset: Dataset, latency: float) -> None:
        self._dataset = dataset
        self._prepared: dict[str, Prepared] = {}
        self._exchanges: list[Exchange] = []
        self.latency = latency

    def prepared(self, target: str) -> Prepared:
        """Return the answer to GET `target`, made when it is first asked for."""
        found = self._prepared.get(target)
        if found is None:
            found = self._prepared[target] = _prepare(*answer(self._dataset, target))
        return found

    def note(self, exchange: Exchange) -> None:
        """Take down one exchange."""
        self._exchanges.append(exchange)

    def control(self, order: str) -> Prepared:
        """Do what a benchmark asks of the server itself."""
        name, _, value = order.partition("?")
        if name == "latency":
            self.latency = float(value)
            return _prepare(200, b"{}")
        exchanges, self._exchanges = self._exchanges, []
        exchanges.sort(key=lambda exchange: exchange.began)
        targets = [exchange.target for exchange in exchanges]
        log = Log(targets, sum(exchange.sent for exchange in exchanges), rounds(exchanges))
        return _prepare(200, msgspec.json.encode(log))


class Connection(asyncio.Protocol):
    """One connection, kept open; a request is answered before the next is read."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the socket."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the head is whole."""
        began = time.monotonic()
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        self._received = rest
        target = head.split(b" ", 2)[1].decode("ascii").removeprefix("/api/")
        if target.startswith("control/"):
            self._write(self._api.control(target.removeprefix("control/")).whole)
            return
        response = self._api.prepared(target)
        is_known = response.etag and _condition(head) == response.etag
        whole, sent = (response.unchanged, 0) if is_known else (response.whole, response.length)

        def finish() -> None:
            self._api.note(Exchange(target, began, time.monotonic(), sent))
            self._write(whole)

        if self._api.latency:
            asyncio.get_running_loop().call_later(self._api.latency, finish)
        else:
            finish()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


def answer(dataset: Dataset, target: str) -> tuple[int, bytes]:
    """Return status and body of GET `target`, a path below the base URL with its query."""
    path, _, query = target.partition("?")
    kind, _, segment = path.rpartition("/")
    try:
        page = {name: int(value) for name, value in parse_qsl(query)}
    except ValueError:
        return 400, _json({"error": "skip and limit must be whole numbers"})
    skip, limit = page.get("skip", 0), page.get("limit") or 10
    name = unquote(segment)
    product_id = int(name) if name.isdecimal() else -1
    found: object = None
    match kind:
        case "users":
            found = (user := dataset.user(name)) and {"user": user}
        case "products":
            found = (product := dataset.product(product_id)) and {"product": product}
        case "purchases/by_user" if dataset.user(name):
            found = {"purchases": dataset.by_user(name, skip, limit)}
        case "purchases/by_product" if dataset.knows_product(product_id):
            found = {"purchases": dataset.by_product(product_id, skip, limit)}
        case "" if name in {"users", "products"}:
            rows: Sequence[object] = dataset.users if name == "users" else dataset.products
            found = {name: rows[skip : skip + limit]}
    return (404, _json({"error": f"{path} was not found"})) if found is None else (200, _json(found))


def rounds(exchanges: Sequence[Exchange]) -> int:
    """Return the length of the longest chain of exchanges of which each began after the one before had ended."""
    chain, free = 0, 0.0
    for exchange in sorted(exchanges, key=lambda exchange: exchange.ended):
        if exchange.began >= free:
            chain, free = chain + 1, exchange.ended
    return chain


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _condition(head: bytes) -> bytes:
    _, found, after = head.lower().partition(_CONDITION)
    return after.partition(b"\r\n")[0].strip() if found else b""


def _prepare(status: int, body: bytes) -> Prepared:
    etag = b'"' + hashlib.blake2b(body, digest_size=16).hexdigest().encode() + b'"' if status == 200 else b""
    head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n" % (status, _REASONS[status])
    tag = b"ETag: " + etag + b"\r\n" if etag else b""
    whole = head + tag + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return Prepared(whole, etag, b"HTTP/1.1 304 Not Modified\r\n" + tag + b"\r\n", len(body))


async def _serve(api: Api) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(api), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server")
    for name in ("users", "products", "purchases", "seed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--latency", type=float, default=0)
    given = parser.parse_args()
    if given.data is not None:
        dataset = load(given.data)
    else:
        dataset = generate(given.users, given.products, given.purchases, given.seed)
    gc.freeze()  # the data stays; going through it again and again would be noise
    asyncio.run(_serve(Api(dataset, given.latency)))


if __name__ == "__main__":
    main()
