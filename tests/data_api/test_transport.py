"""One GET: statuses, retries, bounds and errors over a made-up network, and time limits over real sockets."""

import gzip
import itertools
import socket
import threading
import time
import tracemalloc
import types
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpcore
import httpx
import pytest
import respx
import tenacity

from acme_cli.data_api.transport import LARGEST_BODY, Response, Transport
from acme_cli.errors import AcmeError, ApiError, ApiStatusError, ApiUnreachable, ExitCode, PayloadError, UsageError

BASE = "http://shop.example/api/"
URL = f"{BASE}users/ann"
RETRIED = [408, 429, 500, 502, 503, 504]

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept between attempts."""
    naps: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", types.SimpleNamespace(sleep=naps.append))
    return naps


@pytest.fixture
def router() -> respx.MockRouter:
    return respx.MockRouter(assert_all_called=False)


class Streaming(httpx.BaseTransport):
    """Answers with chunks that are made as they are taken."""

    def __init__(self, chunks: Iterable[bytes], headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.chunks = chunks
        self.headers = headers
        self.status = status
        self.taken = 0
        self.requests = 0
        self.closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(self.status, headers=self.headers, stream=Body(self))


class Body(httpx.SyncByteStream):
    def __init__(self, network: Streaming) -> None:
        self.network = network

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.network.chunks:
            self.network.taken += len(chunk)
            yield chunk

    def close(self) -> None:
        self.network.closed = True


class Routed(httpx.BaseTransport):
    """What a router answers, streamed as a network does."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.mock = httpx.MockTransport(router.handler)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(raw_path=request.extensions["target"])
        response = self.mock.handle_request(request)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=Body(Streaming([response.content]))
        )


def transport_to(
    network: respx.MockRouter | httpx.BaseTransport, *, retries: int = 0, token: str | None = None, timeout: float = 5
) -> Transport:
    if isinstance(network, respx.MockRouter):
        network = Routed(network)
    return Transport(BASE, token=token, timeout=timeout, retries=retries, network=network)


def failure_of(transport: Transport, path: str = "users/ann", etag: str | None = None) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        transport.get(path, etag)
    return caught.value


def test_an_answer(router: respx.MockRouter) -> None:
    route = router.get(URL).respond(200, text='{"user": {}}', headers={"etag": '"v1"'})
    response = transport_to(router).get("users/ann")
    assert response == Response(200, b'{"user": {}}', '"v1"', response.seconds, 1)
    assert 0 <= response.seconds < 5
    assert route.call_count == 1


def test_what_is_sent(router: respx.MockRouter) -> None:
    route = router.get(url__startswith=BASE).respond(200)
    transport = transport_to(router, token="s3cret")
    transport.get("purchases/by_product/7?skip=0&limit=100")
    transport.get("users/a%2Fb%20%C3%A9", '"v1"')
    first, second = (call.request for call in route.calls)
    assert str(first.url) == f"{BASE}purchases/by_product/7?skip=0&limit=100"
    assert first.headers["authorization"] == "Bearer s3cret"
    assert first.headers["user-agent"] == "acme-cli"
    assert first.headers["accept"] == "application/json"
    assert first.headers["accept-encoding"] == "identity"
    assert first.headers["host"] == "shop.example"
    assert "if-none-match" not in first.headers
    assert second.url.raw_path == b"/api/users/a%2Fb%20%C3%A9"
    assert second.headers["if-none-match"] == '"v1"'
    assert "authorization" not in _sent_without_token(router)


def _sent_without_token(router: respx.MockRouter) -> httpx.Headers:
    transport_to(router).get("users/ann")
    return router.calls.last.request.headers


def test_cookies_are_not_sent_back(router: respx.MockRouter) -> None:
    """Answers may not depend on which request came first."""
    route = router.get(URL).respond(200, headers={"set-cookie": "session=1; Path=/"})
    transport = transport_to(router)
    transport.get("users/ann")
    transport.get("users/ann")
    assert "cookie" not in route.calls.last.request.headers


def test_404_is_an_answer_without_a_body(router: respx.MockRouter) -> None:
    router.get(URL).respond(404, text="<html>not here</html>", headers={"etag": "x"})
    assert transport_to(router).get("users/ann")[:3] == (404, b"", None)


def test_304_is_an_answer_to_a_conditional_request_only(router: respx.MockRouter) -> None:
    router.get(URL).respond(304, headers={"etag": '"v1"'})
    assert transport_to(router).get("users/ann", '"v1"')[:3] == (304, b"", None)
    error = failure_of(transport_to(router))
    assert isinstance(error, ApiStatusError)
    assert error.status == 304
    assert not error.may_use_stale


@pytest.mark.parametrize("etag", [b'"caf\xc3\xa9"', b'"\xe9"', b"", b'W/"x"'])
def test_any_etag_can_be_sent_back(router: respx.MockRouter, etag: bytes) -> None:
    router.get(URL).respond(200, headers=[(b"etag", etag)])
    transport = transport_to(router)
    received = transport.get("users/ann").etag
    assert transport.get("users/ann", received).status == 200


@pytest.mark.parametrize("status", [201, 204, 206, 300, 400, 401, 403, 405, 410, 418, 422, 451, 501, 505, 599, 999])
def test_other_statuses_fail_at_once(router: respx.MockRouter, slept: list[float], status: int) -> None:
    route = router.get(URL).respond(status, headers={"retry-after": "1"})
    error = failure_of(transport_to(router, retries=3))
    assert isinstance(error, ApiStatusError)
    assert error.status == status
    assert error.exit is ExitCode.API_ERROR
    assert error.message.startswith(f"GET {URL} answered {status}")
    assert error.may_use_stale == (status >= 500)
    assert (error.hint is not None) == (status in {401, 403})
    assert route.call_count == 1
    assert slept == []


@pytest.mark.parametrize("status", RETRIED)
@pytest.mark.parametrize("retries", [0, 1, 4])
def test_passing_failures_are_retried(router: respx.MockRouter, slept: list[float], status: int, retries: int) -> None:
    route = router.get(URL).respond(status)
    error = failure_of(transport_to(router, retries=retries))
    assert isinstance(error, ApiStatusError)
    assert error.may_use_stale
    assert route.call_count == 1 + retries
    assert len(slept) == retries
    for number, nap in enumerate(slept, start=1):
        assert 0 <= nap <= 0.2 * 2**number


def test_retries_end_with_the_first_success(router: respx.MockRouter, slept: list[float]) -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.ReadTimeout("slow"),
        httpx.Response(200),
    ]
    route = router.get(URL).mock(side_effect=answers)
    response = transport_to(router, retries=5).get("users/ann")
    assert (response.status, response.attempts) == (200, 4)
    assert route.call_count == 4
    assert len(slept) == 3


def test_retries_end_with_a_failure_that_will_not_pass(router: respx.MockRouter, slept: list[float]) -> None:
    route = router.get(URL).mock(side_effect=[httpx.Response(503), httpx.Response(403), httpx.Response(200)])
    error = failure_of(transport_to(router, retries=5))
    assert isinstance(error, ApiStatusError)
    assert error.status == 403
    assert route.call_count == 2
    assert len(slept) == 1


def test_jitter_is_spread_over_the_whole_interval(router: respx.MockRouter, slept: list[float]) -> None:
    router.get(URL).respond(503)
    transport = transport_to(router, retries=1)
    for _ in range(40):
        failure_of(transport)
    assert min(slept) < 0.1
    assert max(slept) > 0.3


def test_retry_after_in_seconds_is_obeyed(router: respx.MockRouter, slept: list[float]) -> None:
    route = router.get(URL).mock(side_effect=[httpx.Response(429, headers={"retry-after": " 3 "}), httpx.Response(200)])
    assert transport_to(router, retries=2).get("users/ann").attempts == 2
    assert slept == [3.0]
    assert route.call_count == 2


def test_retry_after_as_a_date_is_obeyed(router: respx.MockRouter, slept: list[float]) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True)
    router.get(URL).mock(side_effect=[httpx.Response(503, headers={"retry-after": when}), httpx.Response(200)])
    assert transport_to(router, retries=1, timeout=10).get("users/ann").attempts == 2
    (nap,) = slept
    assert 2 < nap <= 4


@pytest.mark.parametrize("retry_after", ["6", "999999999999", "Fri, 01 Jan 2100 00:00:00 GMT", "9" * 400])
def test_a_retry_after_beyond_the_timeout_ends_the_request(
    router: respx.MockRouter, slept: list[float], retry_after: str
) -> None:
    route = router.get(URL).respond(429, headers={"retry-after": retry_after})
    error = failure_of(transport_to(router, retries=3, timeout=5))
    assert isinstance(error, ApiStatusError)
    assert "asks to wait" in error.message
    assert error.may_use_stale
    assert route.call_count == 1
    assert slept == []


@pytest.mark.parametrize(
    "retry_after",
    [
        *["", "soon", "-5", "1.5", "\xb2", "٣", "0", "1 2 3 4 5 6"],
        *["Fri, 01 Jan 1999 00:00:00 GMT", "Fri, 99 Jan 2026 00:00:00 GMT"],
        *["Fri, 01 Jan 0001 00:00:00 +9999", "Mon, 01 Jan 99999 00:00:00 GMT"],
    ],
)
def test_an_unreadable_or_past_retry_after_counts_as_none(
    router: respx.MockRouter, slept: list[float], retry_after: str
) -> None:
    route = router.get(URL).respond(503, headers=[(b"retry-after", retry_after.encode())])
    failure_of(transport_to(router, retries=1, timeout=5))
    assert route.call_count == 2
    assert len(slept) == 1
    assert slept[0] <= 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["https://evil.example/", "/elsewhere", "http://shop.example/api/users/ann"])
def test_redirects_are_not_followed(router: respx.MockRouter, status: int, target: str) -> None:
    router.get(URL).respond(status, headers={"location": target})
    elsewhere = router.route().respond(200)
    error = failure_of(transport_to(router, retries=2, token="s3cret"))
    assert isinstance(error, ApiStatusError)
    assert error.message.endswith(f"a redirect to {target}")
    assert error.hint is not None
    assert "--api-url" in error.hint
    assert not error.may_use_stale
    assert elsewhere.call_count == 0
    assert len(router.calls) == 1


@pytest.mark.parametrize("target", [b"http://[", b"http://x:99999999/", b"\xff\xfe", b"", b"http:///", b"x" * 70_000])
def test_redirects_to_nonsense_are_refused_like_others(
    router: respx.MockRouter, slept: list[float], target: bytes
) -> None:
    route = router.get(URL).respond(302, headers=[(b"location", target)])
    error = failure_of(transport_to(router, retries=2))
    assert isinstance(error, ApiStatusError)
    assert not error.may_use_stale
    assert route.call_count == 1


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("piece", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_packed_bodies_are_unpacked(encoding: str, pack: Callable[[bytes], bytes], piece: int) -> None:
    body = b'{"user": {"username": "ann"}}' * 50
    network = Streaming(in_pieces(pack(body), piece), {"content-encoding": encoding})
    assert transport_to(network).get("users/ann").body == body
    assert network.closed


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "rot13"])
def test_unknown_packings_are_refused(encoding: str) -> None:
    network = Streaming([b"x"], {"content-encoding": encoding})
    error = failure_of(transport_to(network, retries=2))
    assert isinstance(error, ApiError)
    assert f"packed as {encoding}" in error.message
    assert network.requests == 1
    assert network.closed


GZIPPED = gzip.compress(b"x" * 99, mtime=0)


@pytest.mark.parametrize("body", [b"", b"\x1f", b"no gzip", GZIPPED[:-9], GZIPPED[:-1] + b"?"])
def test_broken_packings_are_refused(body: bytes) -> None:
    error = failure_of(transport_to(Streaming([body], {"content-encoding": "gzip"})))
    assert isinstance(error, ApiError)
    assert "cannot be unpacked" in error.message


@pytest.mark.parametrize("rest", [b"garbage", gzip.compress(b"more", mtime=0)], ids=["garbage", "more"])
def test_what_follows_a_packed_body_is_not_dropped_in_silence(rest: bytes) -> None:
    transport = transport_to(Streaming([gzip.compress(b"{}") + rest], {"content-encoding": "gzip"}))
    try:
        body = transport.get("users/ann").body
    except ApiError:
        return
    assert body == b"{}more"


def test_what_follows_a_packed_body_takes_no_memory() -> None:
    chunks = itertools.chain([gzip.compress(b"{}")], (bytes(2**20) for _ in range(24)))
    network = Streaming(chunks, {"content-encoding": "gzip"})
    with peak_memory() as peak, pytest.raises(ApiError):
        transport_to(network).get("users/ann")
    assert peak() < 2 * LARGEST_BODY


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [True, False])
def test_bodies_up_to_the_bound_are_taken(packed: bool) -> None:
    body = bytes(LARGEST_BODY)
    headers = {"content-encoding": "gzip"} if packed else None
    chunks = in_pieces(gzip.compress(body, 1) if packed else body, 65_536)
    assert transport_to(Streaming(chunks, headers)).get("users/ann").body == body


@pytest.mark.parametrize("chunk", [100, 65_536, 2**20])
def test_endless_bodies_are_refused_at_the_bound(chunk: int) -> None:
    network = Streaming(itertools.repeat(b"x" * max(chunk, 8_192)))
    error = failure_of(transport_to(network, retries=2))
    assert isinstance(error, ApiError)
    assert error.message == f"GET {URL}: the answer is larger than 8,388,608 bytes"
    assert network.taken <= LARGEST_BODY + 2**20
    assert network.requests == 1
    assert network.closed


@pytest.mark.parametrize("piece", [1_000, 10**9])
def test_bombs_cost_the_bound_and_no_more(piece: int) -> None:
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    network = Streaming(in_pieces(bomb, piece), {"content-encoding": "gzip"})
    transport = transport_to(network)
    with peak_memory() as peak:
        error = failure_of(transport)
        assert peak() < 3 * LARGEST_BODY
    assert isinstance(error, ApiError)
    assert "larger than" in error.message
    assert network.closed


def test_the_bodies_of_errors_are_not_read() -> None:
    network = Streaming(itertools.repeat(b"x" * 65_536), status=500)
    assert isinstance(failure_of(transport_to(network)), ApiStatusError)
    assert network.taken == 0
    assert network.closed


def test_the_body_of_a_404_is_bounded() -> None:
    network = Streaming(itertools.repeat(b"x" * 65_536), status=404)
    with suppress(ApiError):  # or an answer, if nothing of it is read
        assert transport_to(network).get("users/ann").status == 404
    assert network.taken <= LARGEST_BODY + 2**20
    assert network.closed


def subclasses(*roots: type[BaseException]) -> list[type[BaseException]]:
    found: dict[type[BaseException], None] = {}
    waiting = list(roots)
    while waiting:
        kind = waiting.pop()
        found[kind] = None
        waiting.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__.split(".")[0] in {"httpx", "httpcore"}]


HTTPCORE_ERRORS = [kind for kind in vars(httpcore).values() if isinstance(kind, type) and issubclass(kind, Exception)]
ERRORS = subclasses(httpx.TransportError, *HTTPCORE_ERRORS)
UNREACHABLE_OS_ERRORS = [
    ConnectionResetError(104, "reset"),
    BrokenPipeError(32, "pipe"),
    OSError("odd"),
    TimeoutError(),
]


def test_the_lower_errors_are_those_we_know_of() -> None:
    names = {kind.__name__ for kind in ERRORS}
    assert names >= {"ConnectError", "ReadError", "WriteError", "PoolTimeout", "RemoteProtocolError", "ProxyError"}
    assert len(ERRORS) > 25


class Failing(httpx.BaseTransport):
    def __init__(self, error: BaseException, *, in_body: bool) -> None:
        self.error = error
        self.in_body = in_body

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.in_body:
            raise self.error
        return httpx.Response(200, stream=Body(Streaming(self.chunks())))

    def chunks(self) -> Iterator[bytes]:
        yield b"{"
        raise self.error


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize(
    "error",
    [*(kind("low") for kind in ERRORS), *UNREACHABLE_OS_ERRORS],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_every_lower_error_becomes_one_of_ours(error: BaseException, in_body: bool) -> None:
    failure = failure_of(transport_to(Failing(error, in_body=in_body)))
    assert isinstance(failure, ApiError | ApiUnreachable)
    assert not isinstance(failure, PayloadError)
    assert failure.may_use_stale
    assert URL in failure.message
    assert failure.__cause__ is error
    timed_out = isinstance(error, httpx.TimeoutException | httpcore.TimeoutException)
    assert ("no whole answer within 5 s" in failure.message) == timed_out
    if timed_out:
        assert isinstance(failure, ApiUnreachable)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), MemoryError(), ZeroDivisionError()])
def test_what_is_no_failure_of_the_network_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        transport_to(Failing(error, in_body=True)).get("users/ann")


@pytest.mark.parametrize("url", ["http://[::1/", "http://a\0b/", "http://shop.example:port/"])
def test_a_url_that_cannot_be_asked_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Transport(url, token="s3cret", timeout=1, retries=0)
    assert "s3cret" not in str(caught.value)


def test_unusable_certificates_are_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for path in (bad, tmp_path / "missing.pem", tmp_path):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(UsageError) as caught:
            Transport("https://shop.example/", token=None, timeout=1, retries=0)
        assert caught.value.hint is not None
        assert "SSL_CERT_FILE" in caught.value.hint
    Transport("http://shop.example/", token=None, timeout=1, retries=0).close()


# From here on over real sockets.


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        assert isinstance(self.server, Served)
        self.server.seen.append((self.client_address[1], self.path, dict(self.headers)))
        body = b'{"user": {"username": "ann"}}'
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if "closing" in self.path:
            self.close_connection = True

    def do_CONNECT(self) -> None:
        assert isinstance(self.server, Served)
        self.server.seen.append((self.client_address[1], self.path, dict(self.headers)))
        self.send_error(502)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name it is given
        pass


class Served(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[int, str, dict[str, str]]] = []
        self.closed_one = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def connections(self) -> int:
        return len({port for port, _, _ in self.seen})

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)  # type: ignore[arg-type]  # a socket
        self.closed_one.set()


@pytest.fixture
def server() -> Iterator[Served]:
    with Served() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@contextmanager
def real(base_url: str, *, timeout: float = 5, token: str | None = None) -> Iterator[Transport]:
    transport = Transport(base_url, token=token, timeout=timeout, retries=0)
    try:
        yield transport
    finally:
        transport.close()


def test_connections_are_kept(server: Served) -> None:
    with real(f"http://{server.address}/") as transport:
        for path in ("users/ann", "missing", "users/ann", "users/ann?x=1"):
            transport.get(path)
    assert server.connections == 1
    assert [path for _, path, _ in server.seen] == ["/users/ann", "/missing", "/users/ann", "/users/ann?x=1"]


def test_threads_share_at_most_one_connection_each(server: Served) -> None:
    with real(f"http://{server.address}/") as transport, ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda number: transport.get(f"products/{number}").status, range(60)))
    assert statuses == [200] * 60
    assert server.connections <= 4


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(server: Served) -> None:
    with real(f"http://{server.address}/") as transport:
        for turn in range(3):
            assert transport.get("closing").attempts == 1
            assert server.closed_one.wait(5)
            server.closed_one.clear()
            assert server.connections == turn + 1


def test_the_host_may_be_a_name_or_an_ipv6_address(server: Served) -> None:
    port = server.server_address[1]
    with real(f"http://localhost:{port}/api/") as transport:
        assert transport.get("users/ann").status == 200
    assert server.seen[-1][1] == "/api/users/ann"
    assert server.seen[-1][2]["Host"] == f"localhost:{port}"


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid", "[::1]:1", f"{'x' * 64}.example"])
def test_what_cannot_be_connected_to_is_unreachable(host: str) -> None:
    with real(f"http://{host}/") as transport:
        error = failure_of(transport)
    assert isinstance(error, ApiUnreachable)
    assert error.exit is ExitCode.API_UNREACHABLE


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("form", ["http://{}", "{}", "http://{}/"])
def test_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, server: Served, variable: str, form: str
) -> None:
    monkeypatch.setenv(variable, form.format(server.address))
    with real(BASE, token="s3cret") as transport:
        assert transport.get("users/ann").status == 200
    ((_, target, headers),) = server.seen
    assert target == URL
    assert headers["Host"] == "shop.example"


def test_the_proxy_gets_its_credentials(monkeypatch: pytest.MonkeyPatch, server: Served) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:pass%40word@{server.address}")
    with real(BASE) as transport:
        assert transport.get("users/ann").status == 200
    assert server.seen[0][2]["Proxy-Authorization"] == "Basic bWU6cGFzc0B3b3Jk"


def test_a_proxy_that_refuses_is_one_of_our_errors_and_sees_no_token(
    monkeypatch: pytest.MonkeyPatch, server: Served
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{server.address}")
    with real("https://shop.example/api/", token="s3cret") as transport:
        error = failure_of(transport)
    assert isinstance(error, ApiUnreachable)
    ((_, target, headers),) = server.seen
    assert target == "shop.example:443"
    assert "s3cret" not in str(headers)


def test_no_proxy_exempts_hosts(monkeypatch: pytest.MonkeyPatch, server: Served) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
    with real(f"http://{server.address}/") as transport:
        assert transport.get("users/ann").status == 200


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://x:y:z"])
def test_a_proxy_that_cannot_be_used_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(UsageError) as caught, real(BASE) as transport:
        transport.get("users/ann")
    assert caught.value.hint is not None
    assert "PROXY" in caught.value.hint


TIMEOUT = 0.5


def talks(*parts: bytes, drip: bytes = b"", every: float = 0.1) -> Callable[[socket.socket, threading.Event], None]:
    """A server's side of one connection: parts at once, then a drip again and again until the test is over."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        if parts or drip:
            connection.recv(65_536)
        for part in parts:
            connection.sendall(part)
        while not over.wait(every):
            if drip:
                connection.sendall(drip)

    return talk


def floods(connection: socket.socket, over: threading.Event) -> None:
    """Small chunks without an end, so that the bound on bodies is far."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"1\r\nx\r\n")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
DAWDLERS = {
    "accepts and never answers": ("http", talks()),
    "silence in the middle of the headers": ("http", talks(HEAD)),
    "silence before the body": ("http", talks(HEAD + b"\r\n")),
    "silence in the middle of the body": ("http", talks(HEAD + b"\r\n{")),
    "a header byte at a time": ("http", talks(HEAD + b"X: ", drip=b"x")),
    "a header at a time": ("http", talks(b"HTTP/1.1 200 OK\r\n", drip=b"X: x\r\n")),
    "a body byte at a time": ("http", talks(HEAD + b"\r\n", drip=b" ")),
    "a chunk at a time": (
        "http",
        talks(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", drip=b"1\r\n \r\n"),
    ),
    "interim answers": ("http", talks(drip=b"HTTP/1.1 100 Continue\r\n\r\n")),
    "a body without an end after 404": ("http", talks(b"HTTP/1.1 404 No\r\n\r\n", drip=b" ")),
    "a gzip header without an end": (
        "http",
        talks(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6), drip=b"name"),
    ),
    "a flood of tiny chunks": ("http", floods),
    "no TLS handshake": ("https", talks()),
    "a TLS handshake byte at a time": ("https", talks(drip=b"\x16")),
}


def test_every_attempt_ends_within_its_timeout() -> None:
    over = threading.Event()

    def attempt(scheme: str, talk: Callable[[socket.socket, threading.Event], None]) -> tuple[AcmeError, float]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            connected: list[socket.socket] = []

            def serve() -> None:
                connection, _ = listener.accept()
                connected.append(connection)
                with suppress(OSError):  # the client hangs up
                    talk(connection, over)

            thread = threading.Thread(target=serve)
            thread.start()
            with real(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/", timeout=TIMEOUT) as transport:
                start = time.monotonic()
                error = failure_of(transport)
                took = time.monotonic() - start
            over.wait(5)
            thread.join()
            connected[0].close()
            return error, took

    with ThreadPoolExecutor(len(DAWDLERS)) as pool:
        futures = [pool.submit(attempt, *dawdler) for dawdler in DAWDLERS.values()]
        time_to_stop = threading.Timer(TIMEOUT + 1, over.set)
        time_to_stop.start()
        outcomes = dict(zip(DAWDLERS, (future.result() for future in futures), strict=True))
    for name, (error, took) in outcomes.items():
        assert isinstance(error, AcmeError), name
        assert error.exit in {ExitCode.API_UNREACHABLE, ExitCode.API_ERROR}, name
        assert took < TIMEOUT + 1, name


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\1\2\3\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
        b"HTTP/1.1 000 Nil\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_broken_answers_are_our_errors(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                with suppress(OSError):  # the client may have seen enough
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with real(f"http://127.0.0.1:{listener.getsockname()[1]}/") as transport:
            error = failure_of(transport)
        thread.join()
    assert isinstance(error, ApiError)
    assert error.exit is ExitCode.API_ERROR


def test_a_token_that_comes_back_as_a_packing_is_not_shown(router: respx.MockRouter) -> None:
    router.get(URL).respond(200, headers={"content-encoding": "S3cret-Token"})
    error = failure_of(transport_to(router, token="S3cret-Token"))
    assert "s3cret" not in error.message.lower()
