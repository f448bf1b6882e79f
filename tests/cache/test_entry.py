"""Stored entries: to bytes and back, and every damage noticed."""

import struct
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.cache.entry import DamagedEntry, Entry, encode_pages, from_bytes, to_bytes

brisk = settings(max_examples=100, deadline=None, derandomize=True)

texts = st.text(st.characters(codec="utf-8"))
entries = st.builds(
    Entry,
    fetched_at=st.floats(allow_nan=False),
    vouched=st.lists(st.tuples(texts, texts), max_size=3).map(lambda pages: encode_pages(tuple(pages))),
    body=st.binary(),
)


@brisk
@given(texts, entries)
def test_round_trip(key: str, entry: Entry) -> None:
    assert from_bytes(key, to_bytes(key, entry)) == entry


KEY = "http://shop.example/\n-\nusers/ann"
PAGES = (("users/ann", '"v1"'),)
ENTRY = Entry(1_800_000_000.25, encode_pages(PAGES), b'{"username":"ann","email":"ann@example.com"}')


def test_every_single_bit_flip_is_noticed() -> None:
    stored = to_bytes(KEY, ENTRY)
    assert len(stored) > 60
    for place in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(DamagedEntry):
            from_bytes(KEY, bytes(damaged))


def test_every_truncation_is_noticed() -> None:
    stored = to_bytes(KEY, ENTRY)
    for length in range(len(stored)):
        with pytest.raises(DamagedEntry):
            from_bytes(KEY, stored[:length])


@brisk
@given(st.binary(min_size=1, max_size=64), st.integers(0, 120))
def test_bytes_put_in_are_noticed(more: bytes, place: int) -> None:
    stored = to_bytes(KEY, ENTRY)
    damaged = stored[:place] + more + stored[place:]
    with pytest.raises(DamagedEntry):
        from_bytes(KEY, damaged)


@brisk
@given(st.binary())
def test_any_bytes_are_read_or_refused(stored: bytes) -> None:
    with pytest.raises(DamagedEntry):
        from_bytes(KEY, stored)


def test_what_was_stored_under_another_key_is_refused() -> None:
    for other in ("", KEY + " ", KEY.replace("ann", "bob"), KEY.replace("\n-\n", "\nanother token\n")):
        with pytest.raises(DamagedEntry):
            from_bytes(other, to_bytes(KEY, ENTRY))


@pytest.mark.parametrize("pages", [(), PAGES, PAGES * 3])
def test_pages_are_read_back(pages: tuple[tuple[str, str], ...]) -> None:
    entry = from_bytes(KEY, to_bytes(KEY, Entry(1.0, encode_pages(pages), b"")))
    assert entry.pages == pages


@pytest.mark.parametrize("length", [1, 10**6, 2**32 - 1])
def test_a_length_that_is_wrong_with_a_right_checksum_is_refused(length: int) -> None:
    content = struct.pack(">d?I", 1.0, False, length)
    checksum = zlib.crc32(KEY.encode() + content).to_bytes(4, "big")
    with pytest.raises(DamagedEntry):
        from_bytes(KEY, checksum + content)


@pytest.mark.parametrize("vouched", [b"\xc1", msgspec.msgpack.encode(5), msgspec.msgpack.encode([["a"]])])
def test_pages_of_another_shape_are_none(vouched: bytes) -> None:
    assert from_bytes(KEY, to_bytes(KEY, Entry(1.0, vouched, b""))).pages == ()


def test_a_large_body_is_packed_and_its_damage_noticed() -> None:
    body = b'["ann",7,1800000000000000],' * 100_000
    stored = to_bytes(KEY, Entry(1.0, encode_pages(PAGES), body))
    assert len(stored) < len(body) / 10
    entry = from_bytes(KEY, stored)
    assert (entry.body, entry.pages) == (body, PAGES)
    for damaged in (stored[:-1], stored + b"x", stored[:1000] + bytes(1) + stored[1001:]):
        with pytest.raises(DamagedEntry):
            from_bytes(KEY, damaged)


@pytest.mark.parametrize("packed", [b"no zlib", zlib.compress(b"x" * 50)[:-3], zlib.compress(bytes(2**28 + 1))])
def test_what_cannot_be_unpacked_within_bounds_is_refused(packed: bytes) -> None:
    content = struct.pack(">d?I", 1.0, True, 0) + packed
    checksum = zlib.crc32(KEY.encode() + content).to_bytes(4, "big")
    with pytest.raises(DamagedEntry):
        from_bytes(KEY, checksum + content)
