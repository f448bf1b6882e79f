"""Network streams whose timeouts are absolute: a point on the monotonic clock by which the whole attempt must end.

httpx's timeouts bound one operation each, so a server that sends a byte a second is never timed out. httpcore
hands a request's timeouts to the stream as they are; here they are read as deadlines, and every read, write and
TLS start gets what is left. Looking up the host's name cannot be bounded this way.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore  # noqa: TID253  this module is imported by the transport, on the first miss only

_START = b"HTTP/"
"""What every response begins with."""


class DeadlineBackend(httpcore.NetworkBackend):
    """Connects to a host's addresses in turn, each with its share of what is left until the deadline."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a connected stream. Raises httpcore's ConnectError or ConnectTimeout."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError("the host has no address")
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        for index, address in enumerate(addresses):
            left = _left(timeout, httpcore.ConnectTimeout)
            share = None if left is None else left / (len(addresses) - index)
            try:
                stream = self._backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._is_first = True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        if self._is_first and len(data) >= len(_START):
            if not data.startswith(_START):  # h11 waits for more, and then calls it no answer
                raise httpcore.RemoteProtocolError("it is not HTTP/1")
            self._is_first = False
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._is_first = True
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float | None, error: type[Exception]) -> float | None:
    """Return the seconds left until the deadline; raise `error` if there are none."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the deadline has passed")
    return left
