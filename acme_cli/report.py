"""The use case of a report: who is in it, and what it says of each, in the order of the input."""

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .data_api.client import DataApi
from .errors import AcmeError, ApiError, ApiUnreachable, UserNotFound
from .models import Failure, Record
from .popular import rankings


class Shard(NamedTuple):
    """One of so many parts of the users; `number` starts at 1."""

    number: int
    parts: int

    def holds(self, username: str) -> bool:
        """Return whether the user belongs to this part: by a hash of the name, the same everywhere and always."""
        return zlib.crc32(username.encode("utf-8", "surrogatepass")) % self.parts == self.number - 1


WHOLE = Shard(1, 1)


def records(
    api: DataApi,
    usernames: Iterable[Sequence[str]],
    *,
    limit: int,
    since: int | None = None,
    exclude_self: bool = False,
    listed: bool = False,
    shard: Shard = WHOLE,
    fail_fast: bool = False,
    not_found_hint: str | None = None,
) -> Iterator[Record]:
    """Yield a record for each user of the shard, as soon as it is known. Parameters and errors are those of `rankings`.

    A record's index is the user's place among all names. With `fail_fast` the first user's error is raised. Raises that
    of the first one, too, if nothing is known of any user: nothing was stored, and the API was not asked or made no
    sense.
    """
    indexes: deque[int] = deque()

    def in_shard() -> Iterator[list[str]]:
        place = 0
        for batch in usernames:
            kept = [(place + offset, name) for offset, name in enumerate(batch) if shard.holds(name)]
            place += len(batch)
            indexes.extend(index for index, _ in kept)
            yield [name for _, name in kept]

    lost: AcmeError | None = None
    found = False
    for ranking in rankings(api, in_shard(), limit=limit, since=since, exclude_self=exclude_self, listed=listed):
        error = ranking.error
        if error is not None and fail_fast:
            raise error
        if isinstance(error, ApiError | ApiUnreachable):
            lost = lost or error
        found = found or error is None
        if isinstance(error, UserNotFound):
            error = UserNotFound(ranking.username, not_found_hint)
        # A name that is no text, of a file in another encoding, is shown as far as JSON can hold it.
        username = ranking.username.encode("utf-8", "backslashreplace").decode()
        told = None if error is None else failure(error)
        yield Record(indexes.popleft(), username, tuple(ranking.products), told)
    if lost is not None and not found and not api.was_heard:
        raise lost


def failure(error: AcmeError) -> Failure:
    """Return what a document says of an error."""
    return Failure(error.code, error.message, int(error.exit), error.hint)
