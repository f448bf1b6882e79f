"""Popular purchases with requests, requests-cache and threads; prints one JSON array a user.

plain_requests.py BASE_URL USERNAME…
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import quote

from requests.adapters import HTTPAdapter
from requests_cache import CachedSession

THREADS = 16
PAGE = 100

base = sys.argv[1].rstrip("/")
session = CachedSession("popular", use_cache_dir=True, expire_after=600)
session.mount("http://", HTTPAdapter(pool_maxsize=THREADS, max_retries=2))


def get(path: str, **query: int) -> Any:
    """Return the JSON below the base URL."""
    response = session.get(f"{base}/{path}", params=query, timeout=10)
    response.raise_for_status()
    return response.json()


def pages(product_id: int) -> Iterator[dict[str, Any]]:
    """Yield all purchases of a product."""
    skip = 0
    while rows := get(f"purchases/by_product/{product_id}", skip=skip, limit=PAGE)["purchases"]:
        yield from rows
        skip += len(rows)
        if len(rows) < PAGE:
            return


def recent_ids(username: str) -> list[int]:
    """Return the products that a user, who must exist, bought last."""
    name = quote(username, safe="")
    get(f"users/{name}")
    rows = get(f"purchases/by_user/{name}", limit=5)["purchases"]
    return list(dict.fromkeys(row["product_id"] for row in rows))


def buyers(product_id: int) -> list[str]:
    """Return the name of the buyer of each purchase, newest first."""
    rows = sorted(pages(product_id), key=lambda row: datetime.fromisoformat(row["date"]), reverse=True)
    return [row["username"] for row in rows]


def product(product_id: int) -> dict[str, Any]:
    """Return what a product is."""
    found: dict[str, Any] = get(f"products/{product_id}")["product"]
    return found


def main() -> None:
    """Print the ranking of each user."""
    with ThreadPoolExecutor(THREADS) as pool:
        chosen = list(pool.map(recent_ids, sys.argv[2:]))
        ids = list(dict.fromkeys(product_id for ids in chosen for product_id in ids))
        everyone, found = pool.map(buyers, ids), pool.map(product, ids)
        names, details = dict(zip(ids, everyone, strict=True)), dict(zip(ids, found, strict=True))
    for some in chosen:
        ranked = sorted(some, key=lambda product_id: -len(names[product_id]))
        popular = [details[product_id] | {"recent": list(dict.fromkeys(names[product_id]))} for product_id in ranked]
        print(json.dumps(popular, ensure_ascii=False))


if __name__ == "__main__":
    main()
