"""What has gone by of a report, and how that is told: progress, a summary, warnings."""

import time
from collections.abc import Iterable, Iterator

from acme_cli.data_api.client import DataApi
from acme_cli.models import Record

from .run import Run


class Seen:
    """Counts the records of a report on their way into the document."""

    def __init__(self) -> None:
        self.api: DataApi | None = None
        self.total: int | None = None
        self.users = self.failed = 0
        self._gone: set[int] = set()
        self._started = time.monotonic()

    def watch(self, coming: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, and note what they are."""
        for record in coming:
            self.users += 1
            self.failed += record.error is not None
            self._gone.update(product.id for product in record.products if product.gone)
            yield record
            if self.api is not None and self.api.tick is not None:
                self.api.tick(self.api.requests, self.api.requests)

    def progress(self) -> str:
        """Return how far things are: users, requests, the cache's share, and the time left where that is known."""
        assert self.api is not None
        of_all = "" if self.total is None else f" of {self.total:,}"
        says = f"{self.users:,}{of_all} users, {_requests(self.api)}"
        if not self.total or not self.users:
            return says
        left = (time.monotonic() - self._started) / self.users * (self.total - self.users)
        return f"{says}, {left:.0f} s left"

    def summary(self) -> str:
        """Return it all in one line."""
        requests = "" if self.api is None else f", {_requests(self.api)}"
        seconds = time.monotonic() - self._started
        return f"{_count(self.users, 'user')}, {self.failed:,} failed{requests}, {seconds:.0f} s"

    def warn_of_gone(self, run: Run) -> None:
        """Warn once of all products that are bought but no longer known."""
        if self._gone:
            some = ", ".join(map(str, sorted(self._gone)[:5])) + (", …" if len(self._gone) > 5 else "")
            products = _count(len(self._gone), "product")
            run.warn_later(f"the data API knows nothing of {products} among the purchases: {some}")


def _requests(api: DataApi) -> str:
    share = 100 * api.cached // api.answered if api.answered else 0
    return f"{_count(api.requests, 'request')}, {share}% cached"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
