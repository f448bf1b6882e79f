"""The ranking: purchases and products in, ranked list out. No clock, no I/O, no order of arrival."""

from collections.abc import Collection, Iterable, Sequence

from .models import PopularProduct, Product, Purchase

Candidate = tuple[int, Product | None, Sequence[Purchase]]
"""A product's id, what it is (None: it no longer exists), and everyone's purchases of it in the API's order."""


def rank(
    candidates: Iterable[Candidate], *, excluded: Collection[str] = (), since: int | None = None
) -> list[PopularProduct]:
    """Return the candidates by their number of purchases, highest first; ties keep the order given.

    Purchases by the usernames in `excluded` do not count, nor, with `since` (microseconds since 1970), earlier or
    undated ones. A candidate left with none stays.
    """
    counted = []
    for product_id, product, purchases in candidates:
        kept = [
            purchase
            for purchase in purchases
            if purchase.username not in excluded
            and (since is None or (purchase.date is not None and purchase.date >= since))
        ]
        kept.sort(key=_recency, reverse=True)  # stable: equal dates keep the API's order
        counted.append((product_id, product, kept))
    counted.sort(key=lambda candidate: len(candidate[2]), reverse=True)
    return [
        _popular(place, product_id, product, kept) for place, (product_id, product, kept) in enumerate(counted, start=1)
    ]


def _recency(purchase: Purchase) -> float:
    return float("-inf") if purchase.date is None else purchase.date


def _popular(place: int, product_id: int, product: Product | None, newest_first: list[Purchase]) -> PopularProduct:
    known = product or Product(product_id)
    recent = tuple(dict.fromkeys(purchase.username for purchase in newest_first))
    return PopularProduct(
        rank=place,
        id=product_id,
        face=known.face,
        price=known.price,
        size=known.size,
        recent=recent,
        purchases=len(newest_first),
        buyers=len(recent),
        last_purchased=newest_first[0].date if newest_first else None,
        gone=product is None,
    )
