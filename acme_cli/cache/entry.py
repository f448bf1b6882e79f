"""What a stored response is, to bytes and back, so that damage is noticed."""

import zlib
from typing import NamedTuple

import msgspec

Body = bytes | memoryview


class Entry(NamedTuple):
    """A validated response in canonical form.

    `fetched_at` is in seconds since 1970: when the API last vouched for it. `pages` holds the path and ETag of
    each request that it was made from, and is empty unless all of them had one.
    """

    fetched_at: float
    pages: tuple[tuple[str, str], ...]
    body: Body


class DamagedEntry(Exception):
    """Stored bytes are not what was stored under this key."""


_Head = tuple[float, tuple[tuple[str, str], ...]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def to_bytes(key: str, entry: Entry) -> bytes:
    """Return the stored form: a CRC-32 over key and all that follows, the head's length, the head, the body.

    The body stands apart so that it is copied once on the way in and not at all on the way out; it may be large.
    """
    head = _encoder.encode((entry.fetched_at, entry.pages))
    head = len(head).to_bytes(4, "big") + head
    return b"".join((_checksum(key, head, entry.body), head, entry.body))


def from_bytes(key: str, stored: bytes) -> Entry:
    """Return the entry stored under `key`. Raises DamagedEntry if the bytes are not those of that entry."""
    content = memoryview(stored)[4:]
    if stored[:4] != _checksum(key, content):
        raise DamagedEntry(f"the checksum of {key!r} does not match")
    end = 4 + int.from_bytes(content[:4], "big")
    try:
        fetched_at, pages = _decoder.decode(content[4:end])
    except ValueError as error:
        raise DamagedEntry(str(error)) from error
    return Entry(fetched_at, pages, content[end:])


def _checksum(key: str, *parts: Body) -> bytes:
    checksum = zlib.crc32(key.encode())
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum.to_bytes(4, "big")
