"""The ranking: purchases and products in, ranked list out. No clock, no I/O, no order of arrival."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from operator import attrgetter

import msgspec

from .models import PopularProduct, Product, Purchase


class Tally:
    """The purchases of one product, counted: the same for every user in whose ranking it has a place.

    `product` is None if it no longer exists; `purchases` stand in the API's order. With `since` (microseconds since
    1970), earlier and undated ones do not count.
    """

    def __init__(
        self, product_id: int, product: Product | None, purchases: Sequence[Purchase], *, since: int | None = None
    ) -> None:
        if since is not None:
            purchases = [one for one in purchases if one.date is not None and one.date >= since]
        dated = sorted([one for one in purchases if one.date is not None], key=attrgetter("date"), reverse=True)
        # The sort is stable, in reverse as well: equal dates keep the API's order.
        self._newest_first = dated + [one for one in purchases if one.date is None]
        known = product or Product(product_id)
        recent = tuple(dict.fromkeys([one.username for one in self._newest_first]))
        self.purchases = len(self._newest_first)
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
        self.ranked: dict[int, PopularProduct] = {}
        """What `at` has returned."""

    def at(self, place: int) -> PopularProduct:
        """Return the product with a place in a ranking, and keep it in `ranked` for the other users who share it."""
        self.ranked[place] = msgspec.structs.replace(self.everyone, rank=place)
        return self.ranked[place]

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

    @cached_property
    def _buyers(self) -> dict[str, tuple[int, int | None]]:
        """Each person's number of purchases and the date of the newest, in the order of `recent`."""
        buyers: dict[str, tuple[int, int | None]] = {}
        for purchase in self._newest_first:
            count, newest = buyers.get(purchase.username, (0, purchase.date))
            buyers[purchase.username] = (count + 1, newest)
        return buyers


def rank(tallies: Iterable[Tally], *, excluded: Collection[str] = ()) -> list[PopularProduct]:
    """Return the products by their number of purchases, highest first; ties keep the order given.

    Purchases by the usernames in `excluded` do not count. A product left with none stays.
    """
    if not excluded:
        counted = sorted(tallies, key=attrgetter("purchases"), reverse=True)
        return [one.ranked.get(place) or one.at(place) for place, one in enumerate(counted, start=1)]
    left = sorted((one.without(excluded) for one in tallies), key=attrgetter("purchases"), reverse=True)
    return [msgspec.structs.replace(product, rank=place) for place, product in enumerate(left, start=1)]
