"""Connections under httpx: kept last-in first-out, with a deadline for each request that reaches the socket."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpcore  # noqa: TID253  the transport imports this module, on the first miss only

from .deadline import DeadlineBackend
from .lean_httpx import httpx


def connections(url: httpx.URL, proxy: httpx.Proxy | None) -> httpx.BaseTransport:
    """Return what sends requests to the host of `url`, through the proxy if there is one.

    A request's timeouts are deadlines on the monotonic clock. Raises OSError for unusable certificate files.
    """
    ssl_context = httpx.create_ssl_context() if url.scheme == "https" else None
    backend = DeadlineBackend()
    if proxy is not None:
        return _Network(
            httpcore.HTTPProxy(
                httpcore.URL(scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=b"/"),
                proxy_auth=proxy.raw_auth,
                ssl_context=ssl_context,
                max_connections=None,
                network_backend=backend,
            )
        )
    origin = httpcore.Origin(url.raw_scheme, url.raw_host, _port(url))
    return _Network(
        _ConnectionStack(
            lambda: httpcore.HTTPConnection(origin, ssl_context, keepalive_expiry=30, network_backend=backend)
        )
    )


def proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """Return the proxy that the environment names for `url`. Raises ValueError for one that cannot be used."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import urllib.request  # slow, and most environments name no proxy

    if urllib.request.proxy_bypass(f"{url.host}:{_port(url)}"):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found:
        return None
    try:
        proxy = httpx.Proxy(found if "://" in found else f"http://{found}")
    except (httpx.InvalidURL, ValueError):  # whose message may quote a part of the password
        raise ValueError(f"the proxy for {url.scheme} is no URL (it is not shown: it may hold a password)") from None
    if proxy.url.scheme not in {"http", "https"}:
        raise ValueError(f"the proxy {proxy.url.scheme}://{proxy.url.host} is of a kind that cannot be used")
    return proxy


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


class _ConnectionStack:
    """Connections kept last-in first-out, one request at a time on each.

    httpcore's own pool goes through all its requests and connections under a lock, twice a request: with 16
    threads that was a fifth of all CPU time.
    """

    def __init__(self, connect: Callable[[], httpcore.HTTPConnection]) -> None:
        self._connect = connect
        self._idle: list[httpcore.HTTPConnection] = []

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        connection = self._pop()
        response = connection.handle_request(request)
        response.stream = _Stream(response.stream, lambda: self._push(connection))
        return response

    def close(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _pop(self) -> httpcore.HTTPConnection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if not connection.has_expired():
                return connection
            connection.close()

    def _push(self, connection: httpcore.HTTPConnection) -> None:
        if connection.is_idle():
            self._idle.append(connection)


class _Network(httpx.BaseTransport):
    """httpx's requests and responses over httpcore's; a request's extension `target` says what is asked for."""

    def __init__(self, connections: "httpcore.ConnectionPool | _ConnectionStack") -> None:
        self._connections = connections

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = self._connections.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.raw_scheme,
                    host=url.raw_host,
                    port=url.port,
                    target=request.extensions["target"],
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions={"timeout": request.extensions["timeout"]},  # a proxy is asked for another target
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Stream(response.stream))

    def close(self) -> None:
        self._connections.close()


class _Stream(httpx.SyncByteStream):
    """A response's body that says when it is closed."""

    def __init__(self, stream: Any, closed: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._closed = closed

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()
        self._closed()
