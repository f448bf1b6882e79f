"""The ranking: purchases and products in, ranked list out. No clock, no I/O, no order of arrival."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

import msgspec

from .models import PopularProduct, Product, Purchase


class Tally:
    """The purchases of one product, counted: the same for every user in whose ranking it has a place.

    `product` is None if it no longer exists; `purchases` stand in the API's order. With `since` (microseconds since
    1970), earlier and undated ones do not count. Only one that is made `by_buyer` can leave people out.
    """

    def __init__(
        self,
        product_id: int,
        product: Product | None,
        purchases: Sequence[Purchase],
        *,
        since: int | None = None,
        by_buyer: bool = False,
    ) -> None:
        if since is not None:
            purchases = [one for one in purchases if one.date is not None and one.date >= since]
        dated = sorted([one for one in purchases if one.date is not None], key=attrgetter("date"), reverse=True)
        # The sort is stable, in reverse as well: equal dates keep the API's order.
        newest_first = dated + [one for one in purchases if one.date is None]
        known = product or Product(product_id)
        recent = tuple(dict.fromkeys([one.username for one in newest_first]))
        self.purchases = len(newest_first)
        self.everyone = PopularProduct(
            rank=0,
            id=product_id,
            face=known.face,
            price=known.price,
            size=known.size,
            recent=recent,
            purchases=self.purchases,
            buyers=len(recent),
            last_purchased=dated[0].date if dated else None,
            gone=product is None,
        )
        """The product with the place 0."""
        self._ranked: dict[int, PopularProduct] = {}
        self._buyers = _by_buyer(newest_first) if by_buyer else {}

    def at(self, place: int) -> PopularProduct:
        """Return the product with a place in a ranking: the same object each time, since users share it."""
        found = self._ranked.get(place)
        if found is None:
            found = self._ranked[place] = msgspec.structs.replace(self.everyone, rank=place)
        return found

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


def _by_buyer(newest_first: Iterable[Purchase]) -> dict[str, tuple[int, int | None]]:
    """Return each person's number of purchases and the date of the newest, in order of that."""
    buyers: dict[str, tuple[int, int | None]] = {}
    for purchase in newest_first:
        count, newest = buyers.get(purchase.username, (0, purchase.date))
        buyers[purchase.username] = (count + 1, newest)
    return buyers


def rank(tallies: Iterable[Tally], *, excluded: Collection[str] = ()) -> list[PopularProduct]:
    """Return the products by their number of purchases, highest first; ties keep the order given.

    Purchases by the usernames in `excluded` do not count. A product left with none stays.
    """
    if not excluded:
        counted = sorted(tallies, key=attrgetter("purchases"), reverse=True)
        return [one.at(place) for place, one in enumerate(counted, start=1)]
    left = sorted((one.without(excluded) for one in tallies), key=attrgetter("purchases"), reverse=True)
    return [msgspec.structs.replace(product, rank=place) for place, product in enumerate(left, start=1)]
