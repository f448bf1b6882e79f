"""What a stored response is, to bytes and back, so that damage is noticed."""

import struct
import zlib
from zlib import crc32

import msgspec

Pages = tuple[tuple[str, str], ...]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A validated response in canonical form.

    `fetched_at` is in seconds since 1970: when the API last vouched for it. `vouched` holds the path and ETag of each
    request that it was made from, as `pages` reads them.
    """

    fetched_at: float
    vouched: bytes
    body: bytes

    @property
    def pages(self) -> Pages:
        """The path and ETag of each request that it was made from; empty unless all of them had one."""
        try:
            return _decoder.decode(self.vouched) if self.vouched else ()
        except ValueError:  # made by something else, with a right checksum: it is read anew
            return ()


class DamagedEntry(Exception):
    """Stored bytes are not what was stored under this key."""


_HEAD = struct.Struct(">Id?I")
"""A CRC-32 over the key and all that follows, `fetched_at`, whether the body is packed, the length of `vouched`; after
them it and the body."""
_HEAD_SIZE = _HEAD.size
_read_head = _HEAD.unpack_from

_LARGE = 2**20
"""Bytes from which on a body is packed: that of a product with a million purchases would be copied five times on its
way into the database, 40 MB each time; packed it is a fifth of that."""

LARGEST_BODY = 2**28
"""Bytes of a body that is unpacked again, so that a planted one cannot fill the memory."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Pages)


def encode_pages(pages: Pages) -> bytes:
    """Return what `Entry.pages` reads."""
    return _encoder.encode(pages) if pages else b""


def to_bytes(key: str, entry: Entry) -> bytes:
    """Return the stored form. A body that is not packed is copied once."""
    packed = len(entry.body) >= _LARGE
    body = zlib.compress(entry.body, 1) if packed else entry.body
    head = _HEAD.pack(0, entry.fetched_at, packed, len(entry.vouched))[4:]
    checksum = crc32(key.encode())
    for part in (head, entry.vouched, body):
        checksum = crc32(part, checksum)
    return b"".join((checksum.to_bytes(4, "big"), head, entry.vouched, body))


def verified(key: str, stored: bytes) -> tuple[float, bytes]:
    """Return `fetched_at` and the body of the entry stored under `key`, which is all that a fresh one is good for.

    Raises DamagedEntry if the bytes are not those of that entry.
    """
    try:
        checksum, fetched_at, packed, length = _read_head(stored)
    except struct.error as error:
        raise DamagedEntry(f"what is stored as {key!r} is too short") from error
    if checksum != crc32(stored[4:], crc32(key.encode())):
        raise DamagedEntry(f"the checksum of {key!r} does not match")
    start = _HEAD_SIZE + length
    if start > len(stored):
        raise DamagedEntry(f"what is stored as {key!r} is too short")
    body = stored[start:]
    return fetched_at, _unpacked(key, body) if packed else body


def vouched(stored: bytes) -> bytes:
    """Return the `vouched` of an entry that was verified."""
    *_, length = _read_head(stored)
    return stored[_HEAD_SIZE : _HEAD_SIZE + length]


def from_bytes(key: str, stored: bytes) -> Entry:
    """Return the entry stored under `key`. Raises DamagedEntry if the bytes are not those of that entry."""
    fetched_at, body = verified(key, stored)
    return Entry(fetched_at, vouched(stored), body)


def _unpacked(key: str, body: bytes) -> bytes:
    unpack = zlib.decompressobj()
    try:
        unpacked = unpack.decompress(body, LARGEST_BODY)
    except zlib.error as error:
        raise DamagedEntry(f"what is stored as {key!r} cannot be unpacked") from error
    if not unpack.eof:
        raise DamagedEntry(f"what is stored as {key!r} is cut short, or too large")
    return unpacked
