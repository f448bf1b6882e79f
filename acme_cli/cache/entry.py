"""What a stored response is, to bytes and back, so that damage is noticed."""

import zlib

import msgspec


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A validated response in canonical form.

    `fetched_at` is in seconds since 1970: when the API last vouched for it. `pages` holds the path and ETag of
    each request that it was made from, and is empty unless all of them had one.
    """

    fetched_at: float
    pages: tuple[tuple[str, str], ...]
    body: bytes


class DamagedEntry(Exception):
    """Stored bytes are not what was stored under this key."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def to_bytes(key: str, entry: Entry) -> bytes:
    """Return the stored form: a CRC-32 over key and content, then the content."""
    content = _encoder.encode(entry)
    return _checksum(key, content) + content


def from_bytes(key: str, stored: bytes) -> Entry:
    """Return the entry stored under `key`. Raises DamagedEntry if the bytes are not those of that entry."""
    if stored[:4] != _checksum(key, stored[4:]):
        raise DamagedEntry(f"the checksum of {key!r} does not match")
    try:
        return _decoder.decode(stored[4:])
    except ValueError as error:
        raise DamagedEntry(str(error)) from error


def _checksum(key: str, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(key.encode())).to_bytes(4, "big")
