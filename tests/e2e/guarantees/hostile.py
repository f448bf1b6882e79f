"""A server that behaves, at each base URL, as one broken or hostile server would."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

Talk = Callable[[socket.socket, threading.Event], None]
"""The server's side of a connection once a request has come in, until it returns or the test is over."""

ONE_ROW = {"id": 1, "username": "ann", "product_id": 1, "date": "2026-11-20T12:00:00Z"}
GOOD = {
    "users/ann": {"user": {"username": "ann", "email": "ann@example.com"}},
    "products/1": {"product": {"id": 1, "face": ":)", "price": 5, "size": 9}},
    "purchases/by_user/ann": {"purchases": [ONE_ROW]},
    "purchases/by_product/1": {"purchases": [ONE_ROW]},
}
"""A small shop that keeps the contract."""


class Seen(NamedTuple):
    """A request: its path below the base URL, everything up to the empty line, and when (s) it was there."""

    path: str
    head: bytes
    at: float


@dataclass
class Place:
    """What is served at one base URL: a hazard on paths that begin with `where`, the good shop elsewhere."""

    talk: Talk
    where: str
    seen: list[Seen]
    asked: threading.Event

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [request.path for request in self.seen]


class Hostile:
    """Serves any number of hazards on one port of a loopback address, each below a path of its own."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.over = threading.Event()
        self._places: dict[str, Place] = {}
        self._listener = socket.create_server((host, 0), backlog=128)
        self._root = f"http://{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def place(self, talk: Talk, where: str = "") -> tuple[str, Place]:
        """Return a new base URL, and what is known of the requests that reach it."""
        prefix = f"/p{len(self._places)}/"
        self._places[prefix] = Place(talk, where, [], threading.Event())
        return self._root + prefix, self._places[prefix]

    def close(self) -> None:
        """Stop listening, and let go of every connection."""
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # clients hang up, and are killed
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while head := _head(connection):
                target = head.split(b" ", 2)[1].decode()
                prefix = target[: target.index("/", 1) + 1]
                place, path = self._places[prefix], target.removeprefix(prefix)
                place.seen.append(Seen(path, head, time.monotonic()))
                place.asked.set()
                if path.startswith(place.where):
                    place.talk(connection, self.over)
                    return
                content = GOOD.get(path.partition("?")[0])
                connection.sendall(answer(json.dumps(content).encode()) if content else answer(b"{}", "404 Not Found"))


def _head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65_536)
        if not received:
            return b""
        head += received
    return head


# --- hazards ---


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole HTTP response."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def says(*parts: bytes) -> Talk:
    """Return a hazard that sends this and hangs up."""

    def talk(connection: socket.socket, _over: threading.Event) -> None:
        for part in parts:
            connection.sendall(part)

    return talk


def drips(start: bytes, drop: bytes = b"", every: float = 0.1) -> Talk:
    """Return a hazard that sends `start`, then a drop again and again (or nothing) until the client has gone."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(every):
            connection.sendall(drop)

    return talk


def floods(start: bytes, piece: bytes) -> Talk:
    """Return a hazard that sends `start`, then the piece without a pause or an end."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.is_set():
            connection.sendall(piece)

    return talk


def in_turn(*talks: Talk) -> Talk:
    """Return a hazard that is another one for each request, and the last one from then on."""
    coming: Iterator[Talk] = iter(talks[:-1])
    lock = threading.Lock()

    def talk(connection: socket.socket, over: threading.Event) -> None:
        with lock:
            now = next(coming, talks[-1])
        now(connection, over)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = OK + b"Content-Length: 100000\r\n"

SLOW: dict[str, Talk] = {
    "never answers": drips(b""),
    "silence in the headers": drips(LONG),
    "silence in the body": drips(LONG + b"\r\n{"),
    "a byte of a header at a time": drips(LONG + b"X: ", b"x"),
    "a header at a time": drips(OK, b"X: x\r\n"),
    "a byte of the body at a time": drips(LONG + b"\r\n", b" "),
    "a chunk at a time": drips(CHUNKED, b"1\r\n \r\n"),
    "a chunk size at a time": drips(CHUNKED, b"0"),
    "trailers at a time": drips(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: x\r\n"),
    "interim answers at a time": drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "interim answers without a pause": floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "tiny chunks without a pause": floods(CHUNKED, b"1\r\n \r\n" * 100),
    "a gzip header without an end": drips(
        OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6), b"name", 0.02
    ),
    "the body of a 404 at a time": drips(b"HTTP/1.1 404 No\r\n\r\n", b" "),
    "the body of a 503 at a time": drips(b"HTTP/1.1 503 No\r\n\r\n", b" "),
}


def _bomb(size: int, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(size // 2**20)) + packer.flush()


def _packed(body: bytes, encoding: str = "gzip") -> bytes:
    return answer(body, "200 OK", f"Content-Encoding: {encoding}")


_LIMIT = 8 * 2**20

TOO_LARGE: dict[str, Callable[[], Talk]] = {
    "8 MiB and a byte of JSON": lambda: says(answer(b'{"user": {}}'.ljust(_LIMIT + 1))),
    "1 GiB announced": lambda: floods(OK + b"Content-Length: 1073741824\r\n\r\n", bytes(2**16)),
    "large chunks without an end": lambda: floods(CHUNKED, b"100000\r\n" + b" " * 2**20 + b"\r\n"),
    "one chunk of 1 TiB": lambda: floods(CHUNKED + b"10000000000\r\n", b" " * 2**16),
    "no length and no end": lambda: floods(OK + b"\r\n", b" " * 2**16),
    "a gzip bomb of 200 MiB": lambda: says(_packed(_bomb(200 * 2**20, 31))),
    "a deflate bomb of 200 MiB": lambda: says(_packed(_bomb(200 * 2**20, 15), "deflate")),
    "a bomb in many gzip members": lambda: says(_packed(gzip.compress(bytes(2**20)) * 200)),
    "gzip bombs without an end": lambda: floods(OK + b"Content-Encoding: gzip\r\n\r\n", _bomb(16 * 2**20, 31)),
}
"""Bodies beyond the bound; made when they are wanted, since that takes a while."""


def _fill(start: bytes, rows: Iterator[bytes], end: bytes) -> bytes:
    """Return as many rows as fit into the bound on a body."""
    parts, size = [start], len(start) + len(end)
    for row in rows:
        size += len(row)
        if size > _LIMIT:
            break
        parts.append(row)
    return b"".join(parts)[: -1 if parts[1:] else None] + end


def _rows() -> Iterator[bytes]:
    return (b'{"id":%d,"username":"%x","product_id":1},' % (number, number) for number in count())


def _keys() -> Iterator[bytes]:
    return (b'"%x":1,' % number for number in count())


COSTLY: dict[str, tuple[str, Callable[[], bytes]]] = {
    "unknown keys": ("users/ann", lambda: _fill(b'{"username": "ann", "email": "a", ', _keys(), b"}")),
    "keys beside the envelope": ("products/1", lambda: _fill(b'{"product": {"id": 1}, ', _keys(), b"}")),
    "short rows": ("purchases/by_product/1", lambda: _fill(b'{"purchases": [', _rows(), b"]}")),
    "short rows, recent": ("purchases/by_user/ann", lambda: _fill(b'{"purchases": [', _rows(), b"]}")),
    "short users": (
        "users?",
        lambda: _fill(b'{"users": [', (b'{"username":"%x"},' % number for number in count()), b"]}"),
    ),
    "a long face with one wide letter": (
        "products/1",
        lambda: '{{"product": {{"id": 1, "face": "\U0001f600{}"}}}}'.format("x" * (_LIMIT - 100)).encode(),
    ),
    "a long face of bidi controls": (
        "products/1",
        lambda: b'{"product": {"id": 1, "face": "' + "\u202e".encode() * ((_LIMIT - 100) // 3) + b'"}}',
    ),
    "a long date": (
        "purchases/by_product/1",
        lambda: b'{"purchases":[{"id":1,"username":"ann","product_id":1,"date":"' + b"2" * (_LIMIT - 100) + b'"}]}',
    ),
}
"""Bodies within the bound that are dear to decode, each with the path that it answers."""

_ROWS = b'{"purchases": [%s]}'

NONSENSE: dict[str, tuple[str, bytes]] = {
    "not JSON": ("users", b"<html>no</html>"),
    "nothing": ("users", b""),
    "half of it": ("users", b'{"user": {"username": "ann"'),
    "something after it": ("users", b'{"user": {"username": "ann", "email": "a"}}}'),
    "invalid UTF-8": ("users", b'{"user": {"username": "\xff\xfe", "email": "a"}}'),
    "a lone surrogate": ("users", b'{"user": {"username": "\\ud800", "email": "a"}}'),
    "UTF-16": ("users", '{"user": {}}'.encode("utf-16")),
    "NaN": ("products", b'{"product": {"id": 1, "price": NaN}}'),
    "1e999": ("products", b'{"product": {"id": 1, "price": 1e999}}'),
    "-Infinity": ("products", b'{"product": {"id": 1, "price": -Infinity}}'),
    "5,000 digits": ("products", b'{"product": {"id": 1, "price": ' + b"9" * 5000 + b"}}"),
    "an id of 5,000 digits": (
        "purchases/by_user",
        _ROWS % (b'{"id":1,"username":"a","product_id":' + b"9" * 5000 + b"}"),
    ),
    "100,000 levels of lists": ("users", b"[" * 100_000),
    "100,000 levels, closed": ("purchases/by_product", b'{"purchases": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "100,000 levels of unknown keys": (
        "products",
        b'{"product": {"id": 1, "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_002,
    ),
    "a list for an object": ("users", b"[]"),
    "a number for an object": ("products", b'{"product": 5}'),
    "a list of numbers": ("purchases/by_product", _ROWS % b"1, 2"),
    "an object for a list": ("purchases/by_product", b'{"purchases": {"0": {}}}'),
    "null for a list": ("purchases/by_user", b'{"purchases": null}'),
    "no list": ("purchases/by_product", b'{"rows": [], "and": "other things"}'),
    "a name that is a number": ("purchases/by_product", _ROWS % b'{"id": 1, "username": 7, "product_id": 1}'),
    "a name that is null": ("purchases/by_product", _ROWS % b'{"id": 1, "username": null, "product_id": 1}'),
    "an id that is a text": ("purchases/by_user", _ROWS % b'{"id": 1, "username": "a", "product_id": "1"}'),
    "an id that is a fraction": ("purchases/by_user", _ROWS % b'{"id": 1, "username": "a", "product_id": 1.5}'),
    "an id that is true": ("purchases/by_user", _ROWS % b'{"id": 1, "username": "a", "product_id": true}'),
    "no product id": ("purchases/by_user", _ROWS % b'{"id": 1, "username": "a"}'),
    "a face that is a list": ("products", b'{"product": {"id": 1, "face": [1]}}'),
    "a price that is a text": ("products", b'{"product": {"id": 1, "price": "5"}}'),
    "a user who is a text": ("users", b'{"user": "ann"}'),
}
"""Bodies that make no sense, each with the paths that it answers."""

BROKEN: dict[str, bytes] = {
    "garbage": bytes(range(256)) * 4,
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a short body": OK + b"Content-Length: 100\r\n\r\n{}",
    "a body longer than announced": OK + b"Content-Length: 5\r\n\r\n" + b'{"user": {"username": "ann", "email": "a"}}',
    "a negative length": OK + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length of 5,000 digits": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a bad chunk size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk size of 1,000 digits": CHUNKED + b"f" * 1000 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "an unknown transfer": OK + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a header without a colon": OK + b"no colon\r\n\r\n",
    "a header with NUL": OK + b"X: \0\r\nContent-Length: 2\r\n\r\n{}",
    "headers of 300 kB": OK + b"X: " + b"x" * 300_000 + b"\r\n\r\n",
    "100,000 headers": OK + b"X: x\r\n" * 100_000 + b"Content-Length: 2\r\n\r\n{}",
    "status 000": b"HTTP/1.1 000 Nil\r\n\r\n",
    "status 99999": b"HTTP/1.1 99999 Nil\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "1,000 interim answers and no other": b"HTTP/1.1 103 Early Hints\r\nX: x\r\n\r\n" * 1000,
    "HTTP/0.9": b'{"user": {"username": "ann", "email": "a"}}',
    "HTTP/2": b"\0\0\x12\4\0\0\0\0\0" + bytes(18),
    "a packing not asked for": _packed(b"\x8b\x02\x80{}\x03", "br"),
    "a packing of many": _packed(b"x", "gzip, gzip, gzip"),
    "gzip that is none": _packed(b"{}"),
    "gzip cut short": _packed(gzip.compress(b'{"user": {"username": "ann", "email": "a"}}')[:-9]),
    "201": answer(b"{}", "201 Created"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": answer(b"{}", "206 Partial Content", "Content-Range: bytes 0-1/9"),
    "304 to an unconditional request": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a status text with controls": b"HTTP/1.1 400 \x1b[2J\x9b31m\r\n\r\n",
}
"""Answers that are no answer, of `users/ann`."""


def redirect(target: str, status: int = 302) -> Talk:
    """Return a hazard that sends elsewhere."""
    return says(answer(b"", f"{status} Elsewhere", f"Location: {target}"))


def status(code: int, *headers: str) -> Talk:
    """Return a hazard that answers with this status."""
    return says(answer(b"{}", f"{code} Status", *headers))


def whole(content: Any, *headers: str) -> Talk:
    """Return what a good server says."""
    return says(answer(json.dumps(content).encode(), "200 OK", *headers))


def head_of(seen: Sequence[Seen]) -> bytes:
    """Return everything that was sent in these requests."""
    return b"".join(request.head for request in seen)


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """Return a listener that nobody accepts from, and the connections that fill its queue."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(3)]
    for client in waiting:
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    return listener, waiting
