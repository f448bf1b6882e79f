"""The ranking: purchases and products in, ranked list out. No clock, no I/O, no order of arrival."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from .models import PopularProduct, Product, Purchase


class Tally(msgspec.Struct, frozen=True):
    """The purchases of one product, counted: the same for every user in whose ranking it has a place.

    `everyone` has the place 0. `buyers` holds each person's number of purchases and the date of the newest, in the
    order of `everyone.recent`.
    """

    everyone: PopularProduct
    buyers: dict[str, tuple[int, int | None]]

    def without(self, excluded: Collection[str]) -> PopularProduct:
        """Return the product as it is when these people's purchases do not count."""
        if self.buyers.keys().isdisjoint(excluded):
            return self.everyone
        kept = {name: counted for name, counted in self.buyers.items() if name not in excluded}
        return msgspec.structs.replace(self.everyone, **_counts(kept))


def tally(
    product_id: int, product: Product | None, purchases: Sequence[Purchase], *, since: int | None = None
) -> Tally:
    """Count a product's purchases, given in the API's order. `product` is None if it no longer exists.

    With `since` (microseconds since 1970), earlier and undated ones do not count.
    """
    if since is not None:
        purchases = [purchase for purchase in purchases if purchase.date is not None and purchase.date >= since]
    buyers: dict[str, tuple[int, int | None]] = {}
    for purchase in sorted(purchases, key=_recency, reverse=True):  # stable: equal dates keep the API's order
        count, newest = buyers.get(purchase.username, (0, purchase.date))
        buyers[purchase.username] = (count + 1, newest)
    known = product or Product(product_id)
    everyone = PopularProduct(
        rank=0,
        id=product_id,
        face=known.face,
        price=known.price,
        size=known.size,
        gone=product is None,
        **_counts(buyers),
    )
    return Tally(everyone, buyers)


def rank(tallies: Iterable[Tally], *, excluded: Collection[str] = ()) -> list[PopularProduct]:
    """Return the products by their number of purchases, highest first; ties keep the order given.

    Purchases by the usernames in `excluded` do not count. A product left with none stays.
    """
    products = sorted((counted.without(excluded) for counted in tallies), key=lambda product: -product.purchases)
    return [msgspec.structs.replace(product, rank=place) for place, product in enumerate(products, start=1)]


def _recency(purchase: Purchase) -> float:
    return float("-inf") if purchase.date is None else purchase.date


def _counts(buyers: dict[str, tuple[int, int | None]]) -> dict[str, Any]:
    """Return what of a product follows from its buyers, newest first."""
    newest = next(iter(buyers.values()), (0, None))[1]
    return {
        "recent": tuple(buyers),
        "purchases": sum(count for count, _ in buyers.values()),
        "buyers": len(buyers),
        "last_purchased": newest,
    }
