"""What the shop has, and what the answer is made of. Frozen; a date is in microseconds since 1970, UTC."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import msgspec


class User(msgspec.Struct, frozen=True, gc=False):
    """A customer, spelt as the API spells it."""

    username: str
    email: str | None = None


class Product(msgspec.Struct, frozen=True, gc=False):
    """A product; what the API does not know of it is None."""

    id: int
    face: str | None = None
    price: int | None = None
    size: int | None = None


class Purchase(msgspec.Struct, frozen=True, gc=False):
    """One purchase of a product. A missing or unreadable date is None and counts as the oldest."""

    username: str
    date: int | None = None


_date = attrgetter("date")


class Purchases(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """All purchases of one product, newest first; equal and missing dates keep the API's order.

    Those without a date stand last: there are fewer `dates` than `usernames` then.
    """

    usernames: list[str]
    dates: list[int]

    @classmethod
    def of(cls, purchases: Iterable[Purchase]) -> "Purchases":
        """Return them in that order, given in the API's."""
        dated: list[Purchase] = []
        undated: list[Purchase] = []
        for one in purchases:
            (undated if one.date is None else dated).append(one)
        dated.sort(key=_date, reverse=True)  # stable, in reverse as well
        return cls([one.username for one in [*dated, *undated]], [*map(_date, dated)])


class PopularProduct(msgspec.Struct, frozen=True):
    """One place in the ranking.

    `recent` names each buyer once, newest purchase first; `purchases` counts every purchase, `buyers` the
    distinct people; `rank` starts at 1; `last_purchased` is None when no counted purchase has a date; `gone` means
    that the API no longer knows the product.
    """

    rank: int
    id: int
    face: str | None
    price: int | None
    size: int | None
    recent: tuple[str, ...]
    purchases: int
    buyers: int
    last_purchased: int | None
    gone: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing of it is known but its id: most likely it is no longer sold."""
        return self.face is None and self.price is None and self.size is None


class Failure(msgspec.Struct, frozen=True):
    """Why a user has no ranking: a stable name, a message, the exit code it would be alone, and perhaps a hint."""

    code: str
    message: str
    exit: int
    hint: str | None


class Record(msgspec.Struct, frozen=True):
    """One user of a report. `index` is the user's place in the whole input, from 0.

    Nothing in a record depends on when, where or how fast it was made.
    """

    index: int
    username: str
    products: tuple[PopularProduct, ...]
    error: Failure | None = None


class Head(msgspec.Struct, frozen=True):
    """When a report was made and how old its data is, in microseconds since 1970; None where that is not known.

    `outage` is the failure for which stored data stood in, if any.
    """

    made_at: int
    oldest: int | None = None
    newest: int | None = None
    outage: str | None = None


_EPOCH = datetime(1970, 1, 1)  # naive: offsets are subtracted by hand, which cannot overflow


def parse_date(text: str) -> int | None:
    """Return an ISO 8601 date as microseconds since 1970 (without a zone: UTC), or None if it is unreadable."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = moment.replace(tzinfo=None) - _EPOCH
    if moment.tzinfo not in {None, UTC}:
        since -= moment.utcoffset() or timedelta()
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
