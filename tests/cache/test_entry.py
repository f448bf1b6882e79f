"""Stored entries: to bytes and back, and every damage noticed."""

import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.cache.entry import DamagedEntry, Entry, from_bytes, to_bytes

brisk = settings(max_examples=100, deadline=None, derandomize=True)

texts = st.text(st.characters(codec="utf-8"))
entries = st.builds(
    Entry,
    fetched_at=st.floats(allow_nan=False),
    pages=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    body=st.binary(),
)


@brisk
@given(texts, entries)
def test_round_trip(key: str, entry: Entry) -> None:
    assert from_bytes(key, to_bytes(key, entry)) == entry


KEY = "http://shop.example/\n-\nusers/ann"
ENTRY = Entry(1_800_000_000.25, (("users/ann", '"v1"'),), b'{"username":"ann","email":"ann@example.com"}')


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


@pytest.mark.parametrize("head", [None, 5, [], ["soon", []], [1.0, [["a"]]], [1.0, {}], [1.0]])
def test_another_shape_with_a_right_checksum_is_refused(head: object) -> None:
    packed = msgspec.msgpack.encode(head)
    content = len(packed).to_bytes(4, "big") + packed + b"{}"
    checksum = zlib.crc32(KEY.encode() + content).to_bytes(4, "big")
    with pytest.raises(DamagedEntry, match=r"(?i)expected"):
        from_bytes(KEY, checksum + content)


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**32 - 1])
def test_a_length_that_is_wrong_with_a_right_checksum_is_refused(length: int) -> None:
    content = length.to_bytes(4, "big") + msgspec.msgpack.encode([1.0, []]) + b"{}"
    checksum = zlib.crc32(KEY.encode() + content).to_bytes(4, "big")
    with pytest.raises(DamagedEntry):
        from_bytes(KEY, checksum + content)
