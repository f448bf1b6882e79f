"""What can be asked of the data API: the path, the parameters, and how its body becomes a value."""

import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from acme_cli.errors import PayloadError, UsageError
from acme_cli.models import Product, Purchases, User

from . import payloads

T = TypeVar("T")

_LONGEST_SEGMENT = 4096
"""Bytes of a percent-encoded username; servers refuse request lines of about twice that."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
"""What percent-encoding leaves as it is."""


class Endpoint(msgspec.Struct, Generic[T], frozen=True):
    """One thing that can be asked for.

    `path` is relative to the base URL, with its query if any; it is also what the stored response is called.
    `read` turns one body into a value, or into the rows of one page; it gets None for a 404.
    """

    path: str
    read: Callable[[bytes | None], Any]
    decode: Callable[[bytes], T]
    """Turns what is stored of a value into that value; raises ValueError."""
    row: Callable[[Any], Any] | None = None
    """For a list that is paged: what is kept of a row of it."""
    whole: Callable[[list[Any]], T] | None = None
    """What becomes of these once all pages are read; without it, they are the value."""
    keep_missing: bool = True
    """Whether it may be remembered that there is no such thing."""
    leads_to: Callable[[T], "list[Endpoint[Any]]"] | None = None
    """What a value makes one ask for next."""


_user = msgspec.json.Decoder(User | None).decode
_users = msgspec.json.Decoder(list[User]).decode
_ids = msgspec.json.Decoder(list[int]).decode
_product = msgspec.json.Decoder(Product | None).decode
_purchases = msgspec.json.Decoder(Purchases).decode


def users() -> Endpoint[list[User]]:
    """Every user, over all pages, in the API's order."""
    return Endpoint("users", _read_users, _users, row=_itself)


def of_user(username: str, limit: int) -> tuple[Endpoint[User | None], Endpoint[list[int]]]:
    """For a user, who that is, and the products of the recent purchases. Raises UsageError for an unusable name.

    Who that is is None if there is no such user, which is never remembered. The products are asked for in one request,
    stand newest first by the server's word, each at its first place, and are none for an unknown user.
    """
    name = segment(username)
    path = f"purchases/by_user/{name}?limit={limit}"
    return (
        Endpoint(f"users/{name}", _read_user, _user, keep_missing=False),
        Endpoint(path, _reader_of_first(limit), _ids, leads_to=_of_products),
    )


def product(product_id: int) -> Endpoint[Product | None]:
    """The product, or None if it no longer exists."""
    return Endpoint(f"products/{product_id}", _read_product, _product)


def buyers(product_id: int) -> Endpoint[Purchases]:
    """Every purchase of the product, over all pages."""
    path = f"purchases/by_product/{product_id}"
    return Endpoint(path, _read_purchases, _purchases, row=payloads.purchase, whole=Purchases.of)


def of_product(product_id: int) -> tuple[Endpoint[Product | None], Endpoint[Purchases]]:
    """For a product, what it is and who bought it."""
    return product(product_id), buyers(product_id)


def _of_products(ids: Iterable[int]) -> list[Endpoint[Any]]:
    return [endpoint for product_id in ids for endpoint in of_product(product_id)]


def segment(username: str) -> str:
    """Return the name as exactly one percent-encoded path segment.

    Raises UsageError for names that cannot be one: empty, ``.``, ``..``, control characters, lone surrogates,
    and over 4096 bytes.
    """
    if _PLAIN.fullmatch(username) and len(username) <= _LONGEST_SEGMENT and username not in {".", ".."}:
        return username
    if username in {"", ".", ".."}:
        raise UsageError(f"the username {username!r} cannot be asked for", "give the name of one user")
    if not username.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in username):
        raise UsageError("the username contains a control character", "give the name without it")
    try:
        encoded = quote(username, safe="")
    except UnicodeEncodeError as error:
        raise UsageError("the username is not valid Unicode text", "check the terminal's encoding") from error
    if len(encoded) > _LONGEST_SEGMENT:
        raise UsageError(f"the username is too long ({len(username):,} characters)")
    return encoded


def _read_user(body: bytes | None) -> User | None:
    return None if body is None else payloads.user(body)


def _read_users(body: bytes | None) -> list[User]:
    if body is None:
        raise PayloadError("there is no list of users (404)")
    return payloads.users(body)


def _read_product(body: bytes | None) -> Product | None:
    return None if body is None else payloads.product(body)


def _read_purchases(body: bytes | None) -> list[payloads.PurchaseRow]:
    return [] if body is None else payloads.purchases(body)


def _read_first(limit: int, body: bytes | None) -> list[int]:
    return list(dict.fromkeys([row.product_id for row in _read_purchases(body)[:limit]]))


@cache
def _reader_of_first(limit: int) -> Callable[[bytes | None], list[int]]:
    return partial(_read_first, limit)


def _itself(row: User) -> User:
    return row
