"""The ranking: purchases and products in, ranked list out. No clock, no I/O, no order of arrival."""

from collections.abc import Collection, Iterable
from itertools import chain, repeat
from operator import attrgetter

import msgspec

from .models import PopularProduct, Product, Purchases

_purchases = attrgetter("purchases")


class Tally:
    """The purchases of one product, counted: the same for every user in whose ranking it has a place.

    `product` is None if it no longer exists. With `since` (microseconds since 1970), earlier and undated purchases do
    not count. Only one that is made `by_buyer` can leave people out.
    """

    __slots__ = ("_buyers", "at", "everyone", "purchases")

    def __init__(
        self,
        product_id: int,
        product: Product | None,
        purchases: Purchases,
        *,
        since: int | None = None,
        by_buyer: bool = False,
    ) -> None:
        usernames, dates = purchases.usernames, purchases.dates
        if since is not None:
            dates = [date for date in dates if date >= since]
            usernames = usernames[: len(dates)]
        known = product or Product(product_id)
        recent = tuple(dict.fromkeys(usernames))
        self.purchases = len(usernames)
        self.everyone = PopularProduct(
            rank=0,
            id=product_id,
            face=known.face,
            price=known.price,
            size=known.size,
            recent=recent,
            purchases=self.purchases,
            buyers=len(recent),
            last_purchased=dates[0] if dates else None,
            gone=product is None,
        )
        """The product with the place 0."""
        self.at = _Places(self.everyone)
        """The product by its place in a ranking."""
        self._buyers = _by_buyer(usernames, dates) if by_buyer else {}

    def without(self, excluded: Collection[str]) -> PopularProduct:
        """Return the product, with the place 0, as it is when these people's purchases do not count."""
        if self._buyers.keys().isdisjoint(excluded):
            return self.everyone
        kept = {name: counted for name, counted in self._buyers.items() if name not in excluded}
        return msgspec.structs.replace(
            self.everyone,
            recent=tuple(kept),
            purchases=sum(count for count, _ in kept.values()),
            buyers=len(kept),
            last_purchased=next((newest for _, newest in kept.values()), None),
        )


class _Places(dict[int, PopularProduct]):
    """One product by its place: the same object each time, since the users in whose ranking it has that share it."""

    __slots__ = ("_product",)

    def __init__(self, product: PopularProduct) -> None:
        self._product = product

    def __missing__(self, place: int) -> PopularProduct:
        self[place] = found = msgspec.structs.replace(self._product, rank=place)
        return found


def _by_buyer(usernames: Iterable[str], dates: Iterable[int]) -> dict[str, tuple[int, int | None]]:
    """Return each person's number of purchases and the date of the newest, in order of that."""
    buyers: dict[str, tuple[int, int | None]] = {}
    for username, date in zip(usernames, chain(dates, repeat(None)), strict=False):
        count, newest = buyers.get(username, (0, date))
        buyers[username] = (count + 1, newest)
    return buyers


def rank(tallies: Iterable[Tally], *, excluded: Collection[str] = ()) -> list[PopularProduct]:
    """Return the products by their number of purchases, highest first; ties keep the order given.

    Purchases by the usernames in `excluded` do not count. A product left with none stays.
    """
    if not excluded:
        counted = sorted(tallies, key=_purchases, reverse=True)
        return [one.at[place] for place, one in enumerate(counted, start=1)]
    left = sorted((one.without(excluded) for one in tallies), key=_purchases, reverse=True)
    return [msgspec.structs.replace(product, rank=place) for place, product in enumerate(left, start=1)]
