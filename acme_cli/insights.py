"""What many users' popular purchases say together: one overall ranking, and who shares most with whom. Pure."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from unicodedata import normalize

import msgspec

from .models import PopularProduct, Record


class Shared(msgspec.Struct, frozen=True):
    """A product's place in the overall ranking, and how many of these users have it among their recent ones."""

    product: PopularProduct
    users: int


def overall(records: Iterable[Record]) -> list[Shared]:
    """Return each product of these users once: most purchases first, then most users, then the lowest id.

    Where users differ about a product, because their own purchases do not count, the one who counts most is right.
    """
    best: dict[int, PopularProduct] = {}
    users: Counter[int] = Counter()
    for product in chain.from_iterable(record.products for record in records):
        users[product.id] += 1
        known = best.get(product.id)
        if known is None or (product.purchases, product.buyers) > (known.purchases, known.buyers):
            best[product.id] = product
    ranked = sorted(best.values(), key=lambda product: (-product.purchases, -users[product.id], product.id))
    return [
        Shared(msgspec.structs.replace(product, rank=place), users[product.id])
        for place, product in enumerate(ranked, start=1)
    ]


def sharers(record: Record, *, most: int = 5) -> list[tuple[str, int]]:
    """Return the other buyers of most of the user's products, with the number of these; at most `most`.

    Ties keep the order of first appearance. With two products or more, who bought only one of them shares too little.
    """
    counts = Counter(chain.from_iterable(product.recent for product in record.products))
    if record.username in counts:
        del counts[record.username]
    else:  # the API may spell the user otherwise than was typed
        typed = _folded(record.username)
        for name in [name for name in counts if _folded(name) == typed]:
            del counts[name]
    least = min(2, len(record.products))
    return [(name, count) for name, count in counts.most_common(most) if count >= least]


def _folded(name: str) -> str:
    return normalize("NFC", name).casefold()
