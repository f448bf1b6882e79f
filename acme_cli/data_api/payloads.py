"""Bytes from the data API to rows and models; what real servers do differently is settled here and nowhere else.

Read are snake_case and camelCase keys, users and products with and without their envelope, and ``{}`` for what
does not exist. Refused, with the place in the body, is whatever would have to be guessed.
"""

import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from acme_cli.errors import PayloadError
from acme_cli.models import Product, Purchase, User, parse_date

T = TypeVar("T")


class PurchaseRow(msgspec.Struct, frozen=True, gc=False):
    """A purchase as it was sent. Two rows are the same purchase only if all four fields are equal."""

    id: int
    username: str
    product_id: int
    date: str | None


class _WirePurchase(msgspec.Struct, gc=False):
    id: int
    username: str
    snake: int | UnsetType = msgspec.field(default=UNSET, name="product_id")
    camel: int | UnsetType = msgspec.field(default=UNSET, name="productId")
    date: Any = None


class _Purchases(msgspec.Struct):
    purchases: list[_WirePurchase]


class _UserEnvelope(msgspec.Struct):
    user: User


class _ProductEnvelope(msgspec.Struct):
    product: Product


class _Users(msgspec.Struct):
    users: list[User]


class _PurchasesUnread(msgspec.Struct):
    purchases: list[msgspec.Raw]


class _UsersUnread(msgspec.Struct):
    users: list[msgspec.Raw]


class _Products(msgspec.Struct):
    products: list[Product]


_purchases = msgspec.json.Decoder(_Purchases)
_ENVELOPES = {
    name: msgspec.json.Decoder(msgspec.defstruct(f"_Any_{name}", [(name, msgspec.Raw, msgspec.Raw())]))
    for name in ("user", "product")
}
"""Readers of an envelope and nothing in it: keys that nobody asked for cost no memory, however many there are."""

_EMPTY = re.compile(rb"\s*\{\s*\}\s*")
_NOTHING = re.compile(rb"null|\{\s*\}")
_MOST_ROWS = 100_000
"""In one page: ten times what can be asked for."""


def purchases(body: bytes) -> list[PurchaseRow]:
    """Return the rows of a list of purchases in the order sent; ``{}`` stands for a list of something unknown.

    Raises PayloadError.
    """
    if _EMPTY.fullmatch(body):
        return []
    _check_length(body, _PurchasesUnread, "purchases")
    rows = []
    for index, wire in enumerate(_decode(_purchases.decode, body).purchases):
        product_id = wire.camel if wire.snake is UNSET else wire.snake
        if product_id is UNSET:
            raise PayloadError(f"$.purchases[{index}].product_id is missing")
        date = wire.date if isinstance(wire.date, str) else None
        rows.append(PurchaseRow(wire.id, wire.username, product_id, date))
    return rows


def _check_length(body: bytes, unread: type[Any], name: str) -> None:
    """Raise PayloadError for a page of so many rows that reading them would take more memory than a response may."""
    # There are no more rows than braces; so rows are counted only where there might be too many.
    if (
        body.count(b"{") > _MOST_ROWS
        and len(getattr(_decode(msgspec.json.Decoder(unread).decode, body), name)) > _MOST_ROWS
    ):
        raise PayloadError(f"$.{name} has over {_MOST_ROWS:,} rows, which nobody asked for")


def purchase(row: PurchaseRow) -> Purchase:
    """Return what is kept of a row; an unreadable date counts as missing."""
    date = None if row.date is None else parse_date(row.date)
    return Purchase(sys.intern(row.username), date)  # one text for all that somebody bought


def users(body: bytes) -> list[User]:
    """Return the rows of a list of users. Raises PayloadError."""
    _check_length(body, _UsersUnread, "users")
    return _decode(msgspec.json.Decoder(_Users).decode, body).users


def products(body: bytes) -> list[Product]:
    """Return the rows of a list of products. Raises PayloadError."""
    return _decode(msgspec.json.Decoder(_Products).decode, body).products


def user(body: bytes) -> User | None:
    """Return the user in `body`, or None if it says that there is none. Raises PayloadError."""
    return _single(body, "user", _UserEnvelope, User)


def product(body: bytes) -> Product | None:
    """Return the product in `body`, or None if it says that there is none. Raises PayloadError."""
    return _single(body, "product", _ProductEnvelope, Product)


def _single(body: bytes, name: str, envelope: type[Any], model: type[T]) -> T | None:
    content = getattr(_decode(_ENVELOPES[name].decode, body), name)
    if not content:
        return None if _EMPTY.fullmatch(body) else _decode(msgspec.json.Decoder(model).decode, body)
    if _NOTHING.fullmatch(content):
        return None
    found: T = getattr(_decode(msgspec.json.Decoder(envelope).decode, body), name)
    return found


def _decode(decode: Callable[[bytes], T], body: bytes) -> T:
    """Decode, with every way in which a body can be senseless as a PayloadError that says where."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise PayloadError(_with_place(str(error))) from error
    except RecursionError as error:
        raise PayloadError("the JSON is nested too deeply") from error
    except ValueError as error:  # malformed JSON (msgspec.DecodeError), invalid UTF-8
        raise PayloadError(f"the body is not JSON: {error}") from error


def _with_place(message: str) -> str:
    """Turn msgspec's ``Expected `int`, got `str` - at `$.a` `` into ``$.a: expected int, got str``."""
    what, _, place = message.replace("`", "").partition(" - at ")
    place = place or "$"
    missing = what.removeprefix("Object missing required field ")
    if missing != what:
        return f"{place}.{missing} is missing"
    return f"{place}: {what[:1].lower()}{what[1:]}"
