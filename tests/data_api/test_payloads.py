"""Bodies of the data API: every departure read, everything else refused with its place, and nothing else raised."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_cli.data_api import endpoints, payloads
from acme_cli.data_api.payloads import PurchaseRow
from acme_cli.errors import ExitCode, PayloadError
from acme_cli.models import Product, Purchase, Purchases, User, parse_date

brisk = settings(max_examples=150, deadline=None, derandomize=True)

READERS: list[Callable[[bytes], object]] = [payloads.user, payloads.product, payloads.purchases]
ROW = {"id": 1, "username": "ann", "product_id": 7, "date": "2026-01-02T03:04:05Z"}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"user": {"username": "ann", "email": "a@x"}}, User("ann", "a@x")),
        ({"username": "ann", "email": "a@x"}, User("ann", "a@x")),
        ({"user": {"username": "ann", "email": None, "age": 3, "tags": [{}]}, "meta": {"took": 1}}, User("ann")),
        ({"username": "ann", "role": "buyer"}, User("ann")),
        ({"user": {"username": "Zoë 山 \U0001f600"}}, User("Zoë 山 \U0001f600")),
        ({"user": {"username": "e\u0301"}}, User("e\u0301")),
        ({}, None),
        ({"user": {}}, None),
        ({"user": None}, None),
    ],
)
def test_users(document: object, expected: User | None) -> None:
    assert payloads.user(encoded(document)) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"product": {"id": 7, "face": "(:", "price": 3, "size": 4}}, Product(7, "(:", 3, 4)),
        ({"id": 7, "face": "(:", "price": 3, "size": 4}, Product(7, "(:", 3, 4)),
        ({"product": {"id": 7}}, Product(7)),
        ({"id": 7, "face": None, "price": None, "size": None, "colour": "red"}, Product(7)),
        ({"product": {"id": -7, "face": "", "price": 0, "size": 0}, "links": []}, Product(-7, "", 0, 0)),
        ({}, None),
        ({"product": {}}, None),
        ({"product": None}, None),
    ],
)
def test_products(document: object, expected: Product | None) -> None:
    assert payloads.product(encoded(document)) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"purchases": []}, []),
        ({}, []),
        ({"purchases": [ROW]}, [PurchaseRow(1, "ann", 7, "2026-01-02T03:04:05Z")]),
        (
            {"purchases": [{"id": 1, "username": "ann", "productId": 7, "date": "2026-01-02"}], "next": None},
            [PurchaseRow(1, "ann", 7, "2026-01-02")],
        ),
        (
            {"purchases": [{"id": 1, "username": "ann", "product_id": 7, "productId": 8}]},
            [PurchaseRow(1, "ann", 7, None)],
        ),
        ({"purchases": [ROW | {"date": None}]}, [PurchaseRow(1, "ann", 7, None)]),
        ({"purchases": [ROW | {"date": 1_700_000_000}]}, [PurchaseRow(1, "ann", 7, None)]),
        ({"purchases": [ROW | {"date": {"$date": []}}]}, [PurchaseRow(1, "ann", 7, None)]),
        ({"purchases": [ROW | {"note": "x"}, ROW, ROW]}, [PurchaseRow(1, "ann", 7, "2026-01-02T03:04:05Z")] * 3),
    ],
)
def test_purchases(document: object, expected: list[PurchaseRow]) -> None:
    assert payloads.purchases(encoded(document)) == expected


@pytest.mark.parametrize("body", [b"{}", b" { } ", b"{\r\n}\n"])
@pytest.mark.parametrize(
    ("read", "missing"), [(payloads.user, None), (payloads.product, None), (payloads.purchases, [])]
)
def test_an_empty_object_means_missing(read: Callable[[bytes], object], missing: object, body: bytes) -> None:
    assert read(body) == missing


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00+00:00", 0),
        ("1970-01-01T00:00:00.001Z", 1_000),
        ("1970-01-01T00:00:00.000001", 1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01 00:00:01Z", 1_000_000),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800_000_000 - 14 * 3_600_000_000),
        ("9999-12-31T23:59:59.999999-14:00", 253_402_300_799_999_999 + 14 * 3_600_000_000),
        ("yesterday", None),
        ("", None),
        ("2026-02-30", None),
        ("2026-01-01T00:00:00+99:00", None),
        ("\ud800", None),
    ],
)
def test_dates(text: str, microseconds: int | None) -> None:
    assert parse_date(text) == microseconds
    assert payloads.purchase(PurchaseRow(1, "ann", 7, text)) == Purchase("ann", microseconds)


ISO = [
    st.sampled_from(["0001-01-01", "2026-02-29", "9999-12-31", "2026-W53-7", "20260101"]),
    st.sampled_from(["", "T24:00", " 23:59:60", "T00:00:00.000000001", "T235959,5"]),
    st.sampled_from(["", "Z", "+23:59:59.999999", "-24:00", "+14", "-14:00"]),
]


@brisk
@given(st.text() | st.text("0123456789-:TWZ+.", max_size=30) | st.tuples(*ISO).map("".join))
def test_no_date_is_too_strange(text: str) -> None:
    date = parse_date(text)
    assert date is None or abs(date) < 2**60


@pytest.mark.parametrize(
    ("read", "document", "message"),
    [
        (payloads.user, [], "$: expected object, got array"),
        (payloads.user, None, "$: expected object, got null"),
        (payloads.user, "ann", "$: expected object, got str"),
        (payloads.user, {"name": "ann"}, "$.username is missing"),
        (payloads.user, {"username": 5}, "$.username: expected str, got int"),
        (payloads.user, {"user": []}, "$.user: expected object, got array"),
        (payloads.user, {"user": "ann"}, "$.user: expected object, got str"),
        (payloads.user, {"user": {"email": "x"}}, "$.user.username is missing"),
        (payloads.user, {"user": {"username": None}}, "$.user.username: expected str, got null"),
        (payloads.product, {"error": "no"}, "$.id is missing"),
        (payloads.product, {"product": {"face": "x"}}, "$.product.id is missing"),
        (payloads.product, {"product": {"id": "7"}}, "$.product.id: expected int, got str"),
        (payloads.product, {"product": {"id": 7.5}}, "$.product.id: expected int, got float"),
        (payloads.product, {"product": {"id": True}}, "$.product.id: expected int, got bool"),
        (payloads.product, {"product": {"id": 7, "face": 5}}, "$.product.face: expected str | null, got int"),
        (payloads.product, {"id": 7, "price": "free"}, "$.price: expected int | null, got str"),
        (payloads.purchases, [], "$: expected object, got array"),
        (payloads.purchases, {"items": []}, "$.purchases is missing"),
        (payloads.purchases, {"purchases": {}}, "$.purchases: expected array, got object"),
        (payloads.purchases, {"purchases": None}, "$.purchases: expected array, got null"),
        (payloads.purchases, {"purchases": [ROW, 5]}, "$.purchases[1]: expected object, got int"),
        (
            payloads.purchases,
            {"purchases": [ROW, ROW, ROW, ROW | {"username": None}]},
            "$.purchases[3].username: expected str, got null",
        ),
        (
            payloads.purchases,
            {"purchases": [ROW, {"id": 1, "product_id": 7}]},
            "$.purchases[1].username is missing",
        ),
        (payloads.purchases, {"purchases": [{"username": "a", "product_id": 7}]}, "$.purchases[0].id is missing"),
        (payloads.purchases, {"purchases": [ROW | {"id": "1"}]}, "$.purchases[0].id: expected int, got str"),
        (
            payloads.purchases,
            {"purchases": [ROW, {"id": 1, "username": "ann"}]},
            "$.purchases[1].product_id is missing",
        ),
        (
            payloads.purchases,
            {"purchases": [ROW | {"product_id": None}]},
            "$.purchases[0].product_id: expected int, got null",
        ),
        (
            payloads.purchases,
            {"purchases": [{"id": 1, "username": "ann", "productId": "7"}]},
            "$.purchases[0].productId: expected int, got str",
        ),
    ],
)
def test_what_would_have_to_be_guessed_is_refused_with_its_place(
    read: Callable[[bytes], object], document: object, message: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        read(encoded(document))
    assert caught.value.message == message
    assert caught.value.exit is ExitCode.API_ERROR
    assert caught.value.may_use_stale


NONSENSE = [
    b"",
    b"<html>hello</html>",
    b"{",
    b'{"user": ',
    b'{"username": "ann"} {}',
    b"\xef\xbb\xbf[]",
    b'{"username": "\xff"}',
    b'{"username": "\xed\xa0\x80"}',
    rb'{"username": "\ud800"}',
    rb'{"username": "\udc00\ud800"}',
    b'{"username": "a\nb"}',
    b'{"id": NaN}',
    b'{"id": Infinity}',
    b'{"id": 1e999}',
    b'{"id": ' + b"9" * 5_000 + b"}",
    b'{"product": {"id": -' + b"9" * 5_000 + b"}}",
    b'{"purchases": [{"id": ' + b"9" * 5_000 + b', "username": "a", "product_id": 1}]}',
    b'{"purchases": [{"id": 1, "username": "a", "product_id": 1e999}]}',
    b'{"purchases": [{"id": 1, "username": "\\ud83d", "product_id": 1}]}',
    b'{"purchases": ' + b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"user":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"purchases": [{"id": 1, "username": "a", "product_id": 1, "date": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    b"\x00" * 100,
    b"\x1f\x8b\x08" + b"x" * 50,
]


@pytest.mark.parametrize("body", NONSENSE, ids=lambda body: repr(body[:24]))
def test_nonsense_is_a_payload_error(body: bytes) -> None:
    for read in READERS:
        with pytest.raises(PayloadError) as caught:
            read(body)
        assert caught.value.message.isprintable()
        assert 0 < len(caught.value.message) < 200


def canonical(reader: Callable[[bytes], object], body: bytes) -> None:
    """Read a body; a success must survive being stored in its canonical form."""
    try:
        value = reader(body)
    except PayloadError:
        return
    if isinstance(value, list):
        value = Purchases.of(payloads.purchase(row) for row in value)
        assert endpoints.buyers(1).decode(msgspec.json.encode(value)) == value
    elif reader is payloads.user:
        assert endpoints.of_user("ann", 5)[0].decode(msgspec.json.encode(value)) == value
    else:
        assert endpoints.product(1).decode(msgspec.json.encode(value)) == value


names = st.sampled_from(["user", "product", "purchases", "username", "email", "id", "face", "price", "size", "date"])
names |= st.sampled_from(["product_id", "productId"])
leaves: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["2026-01-01", "ann", 7])
)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=20
)
rows = st.fixed_dictionaries(
    {"id": leaves | st.integers(0, 9), "username": st.text(max_size=4) | leaves},
    optional={"product_id": st.integers(0, 9), "productId": st.integers(0, 9) | leaves, "date": documents},
)


@brisk
@given(st.binary() | documents.map(encoded) | st.lists(rows, max_size=4).map(lambda made: encoded({"purchases": made})))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    for read in READERS:
        canonical(read, body)


@brisk
@given(rows, st.integers(0, 200), st.binary(max_size=3))
def test_damaged_bodies_are_read_or_refused(row: dict[str, Any], place: int, instead: bytes) -> None:
    body = bytearray(encoded({"purchases": [row]}))
    body[place : place + len(instead)] = instead
    canonical(payloads.purchases, bytes(body))
    canonical(payloads.product, bytes(body))
