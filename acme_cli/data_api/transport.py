"""One GET over the network: deadlines, retries, bounded bodies, and every way to fail as an AcmeError.

Requests go straight to the connections, past `httpx.Client`: it would follow what a server says in cookies and
Location headers, and what a .netrc says in the token's place, and takes a third of the time of a request.

With `network` below it this is the only module that imports httpx, and itself imported on the first miss only.
"""

import random
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

import httpcore  # noqa: TID253  the client imports this module on the first miss only

from acme_cli.errors import AcmeError, ApiError, ApiStatusError, ApiUnreachable, UsageError

from .breaker import Breaker
from .lean_httpx import httpx
from .network import connections, proxy_for

LARGEST_BODY = 8 * 2**20
"""Bytes of one body, unpacked. Decoding JSON takes about five times as much memory."""

_RETRIED = {408, 429, 500, 502, 503, 504}
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.2, 10
"""Seconds: the most to wait before the first retry, and before any."""

_TIMEOUTS = (httpx.TimeoutException, httpcore.TimeoutException)
_NETWORK_ERRORS = (
    httpx.TransportError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    OSError,
)


class Response(NamedTuple):
    """An answer that can be used: 200, 304 to a conditional request, or 404. `seconds` covers all attempts."""

    status: int
    body: bytes
    etag: str | None
    seconds: float
    attempts: int


class _Failed(Exception):
    """One attempt failed with `error`; `retry_after` is in seconds, None if another attempt is pointless."""

    def __init__(self, error: AcmeError, retry_after: float | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry_after = retry_after


class Transport:
    """GETs paths below a base URL. Any number of threads may use one at the same time.

    `timeout` is in seconds and bounds one attempt, from connecting to the last byte; `retries` counts the
    attempts after the first. `direct` passes by the environment's proxies. Raises UsageError if those, or its
    certificate settings, are unusable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None,
        timeout: float,
        retries: int,
        direct: bool = False,
        network: httpx.BaseTransport | None = None,
    ) -> None:
        self._token = token
        self._timeout = timeout
        self._retries = retries
        self._breaker = Breaker()
        self._headers = [
            (b"accept", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"acme-cli"),
        ]
        if token is not None:
            self._headers.append((b"authorization", f"Bearer {token}".encode("ascii")))
        try:
            self._base = httpx.URL(base_url)
            self._base_url = str(self._base)
            proxy = None if direct or network is not None else proxy_for(self._base)
            self._through = "" if proxy is None else f" (through the proxy {proxy.url.netloc.decode('ascii')})"
            self._network = network or connections(self._base, proxy)
        except httpx.InvalidURL as error:
            raise UsageError(f"{base_url} is no URL that can be asked: {error}") from error
        except (OSError, ValueError) as error:
            hint = "check SSL_CERT_FILE, SSL_CERT_DIR and the *_PROXY variables of the environment"
            raise UsageError(f"the connection to {base_url} cannot be prepared: {error}", hint) from error

    def get(self, path: str, etag: str | None = None) -> Response:
        """Return the answer to GET `path`, asked only if it differs from `etag` when that is given.

        Raises ApiError or ApiUnreachable after the last attempt. Once five URLs in a row have failed, what was under
        way gets one more attempt, and nothing new is asked.
        """
        if (last := self._breaker.tripped) is not None:
            raise _not_asked(self._base_url + path, last)
        start = time.monotonic()
        try:
            status, body, new_etag, attempts = *self._attempt(path, etag), 1
        except _Failed as failed:
            if failed.retry_after is None or self._retries == 0:
                raise failed.error from failed.__cause__
            status, body, new_etag, attempts = self._retry(path, etag, failed)
        return Response(status, body, new_etag, time.monotonic() - start, attempts)

    def succeeded(self) -> None:
        """Note that a response made sense, which only whoever reads it can tell."""
        self._breaker.succeeded()

    def failed(self, path: str, error: AcmeError) -> None:
        """Note that the response to GET `path` made none."""
        self._breaker.failed(path, error)

    @property
    def is_dead(self) -> bool:
        """Whether too many URLs in a row have failed to ask for more."""
        return self._breaker.tripped is not None

    @property
    def was_heard(self) -> bool:
        """Whether any response made sense."""
        return self._breaker.was_heard

    def close(self) -> None:
        """Close the connections."""
        self._network.close()

    def _retry(self, path: str, etag: str | None, first: _Failed) -> tuple[int, bytes, str | None, int]:
        import stamina  # its import costs what most runs never need

        stamina.instrumentation.set_on_retry_hooks(())  # its default logs to stderr
        attempts = 1

        def backoff(error: Exception) -> bool | float:
            """Full jitter over a doubling interval, but never less than the server asked for."""
            if not isinstance(error, _Failed) or error.retry_after is None:
                return False
            if attempts > 1 and self._breaker.tripped:
                return False
            longest = min(_FIRST_BACKOFF * 2**attempts, _LONGEST_BACKOFF)
            jitter = random.uniform(0, longest)  # noqa: S311  no secret
            return max(jitter, error.retry_after)

        try:
            for attempt in stamina.retry_context(on=backoff, attempts=self._retries + 1, timeout=None):
                with attempt:
                    attempts = attempt.num
                    if attempts == 1:
                        raise first
                    return *self._attempt(path, etag), attempts
        except _Failed as failed:
            raise failed.error from failed.__cause__
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt(self, path: str, etag: str | None) -> tuple[int, bytes, str | None]:
        try:
            answer = self._send(path, etag)
        except _Failed as failed:
            if self._token is not None:  # which a server may send back to us, in a Location for one
                failed.error.message = failed.error.message.replace(self._token, "…")
            self._breaker.failed(path, failed.error)
            raise
        if answer[0] != 200:
            self._breaker.succeeded()
        return answer

    def _send(self, path: str, etag: str | None) -> tuple[int, bytes, str | None]:
        url = self._base_url + path
        deadline = time.monotonic() + self._timeout
        # What is asked for goes along as it is: putting it into a URL, which parses it anew, takes a thirtieth of the
        # time of a request.
        extensions = {
            "target": self._base.raw_path + path.encode("ascii"),
            "timeout": {"connect": deadline, "read": deadline, "write": deadline, "pool": self._timeout},
        }
        condition = [] if etag is None else [(b"if-none-match", etag.encode("latin-1"))]
        request = httpx.Request("GET", self._base, headers=[*self._headers, *condition], extensions=extensions)
        response = None
        try:
            response = self._network.handle_request(request)
            if response.status_code == 200:
                return 200, _read(response, url, deadline), _etag(response)
            if response.status_code == 404 or (response.status_code == 304 and etag is not None):
                _drain(response, deadline)
                return response.status_code, b"", None
            raise self._refusal(response, url)
        except _TIMEOUTS as error:
            message = f"GET {url}: no whole answer within {self._timeout:g} s{self._through}"
            raise _Failed(ApiUnreachable(message, "a longer --timeout may help"), 0) from error
        except _NETWORK_ERRORS as error:
            reason = (str(error) or type(error).__name__) + self._through
            if response is not None or _is_garbage(error):
                raise _Failed(ApiError(f"GET {url}: the answer is broken: {reason}"), 0) from error
            hint = "is the data API running there? `acme doctor` checks"
            raise _Failed(ApiUnreachable(f"GET {url}: {reason}", hint), 0) from error
        finally:
            if response is not None:
                with suppress(*_NETWORK_ERRORS):
                    response.close()

    def _refusal(self, response: httpx.Response, url: str) -> _Failed:
        status = response.status_code
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
        message = f"GET {url} answered {status} {phrase}".rstrip()
        hint = None
        if status in {401, 403}:
            hint = "check the token: ACME_API_TOKEN or --api-token-file"
        elif 300 <= status < 400 and "location" in response.headers:
            message += f", a redirect to {_short(response.headers['location'])}"
            hint = "redirects are not followed; set --api-url to the API's own address"
        retry_after: float | None = None
        if status in _RETRIED:
            retry_after = _retry_after(response.headers.get("retry-after"))
            if retry_after > self._timeout:
                message += f", and asks to wait {retry_after:.0f} s"
                retry_after = None
        return _Failed(ApiStatusError(message, status, hint), retry_after)


def _read(response: httpx.Response, url: str, deadline: float) -> bytes:
    """Return the body, unpacked. Raises _Failed for one that is too large or packed in an unknown way."""
    packing = response.headers.get("content-encoding", "identity").strip()
    encoding = packing.lower()
    if encoding not in {"identity", "gzip", "x-gzip", "deflate", ""}:
        raise _Failed(ApiError(f"GET {url}: the answer is packed as {_short(packing)}, which was not asked for"), None)
    chunks = _until(deadline, response)
    if encoding in {"gzip", "x-gzip", "deflate"}:
        chunks = _unpacked(chunks)
    body = bytearray()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > LARGEST_BODY:
                raise _Failed(ApiError(f"GET {url}: the answer is larger than {LARGEST_BODY:,} bytes"), None)
    except zlib.error as error:
        raise _Failed(ApiError(f"GET {url}: the answer cannot be unpacked: {error}"), None) from error
    return bytes(body)


def _etag(response: httpx.Response) -> str | None:
    return next((value.decode("latin-1") for name, value in response.headers.raw if name.lower() == b"etag"), None)


def _until(deadline: float, response: httpx.Response) -> Iterator[bytes]:
    """Give the body in chunks until the deadline: one read from the socket can hold thousands of them."""
    assert isinstance(response.stream, httpx.SyncByteStream)
    for chunk in response.stream:
        if time.monotonic() > deadline:
            raise httpcore.ReadTimeout("the deadline has passed")
        yield chunk


def _drain(response: httpx.Response, deadline: float) -> None:
    """Read a short body to its end, so that the connection can be used again."""
    length = 0
    for chunk in _until(deadline, response):
        length += len(chunk)
        if length > 2**16:
            return


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip or zlib in pieces of at most 64 KiB, so that a bomb cannot grow beyond the bound."""
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    for chunk in chunks:
        rest = chunk
        while rest and not unpack.eof:
            yield unpack.decompress(rest, 2**16)
            rest = unpack.unused_data or unpack.unconsumed_tail
        if rest:
            raise zlib.error("something follows its end")
    yield unpack.flush()
    if not unpack.eof:
        raise zlib.error("it ends too early")


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _retry_after(header: str | None) -> float:
    """Return the seconds a Retry-After header asks for: a number or a date; 0 if it is missing or unreadable."""
    if header is None:
        return 0
    with suppress(ValueError):
        return max(0.0, float(header))
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0


def _not_asked(url: str, last: AcmeError) -> AcmeError:
    error = copy(last)
    error.unasked = True
    error.message = f"GET {url}: not asked, since the last requests all failed; the last one: {last.message}"
    return error


def _is_garbage(error: Exception) -> bool:
    """Whether something did answer, but not in HTTP."""
    garbled = isinstance(error, httpx.RemoteProtocolError | httpcore.RemoteProtocolError)
    return garbled and not str(error).startswith("Server disconnected")
