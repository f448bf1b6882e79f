"""Parts of a report, as other runs wrote them, read back and joined."""

import heapq
import resource
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .errors import UsageError
from .models import Failure, PopularProduct, Record, parse_date
from .values import shown


class _Line(msgspec.Struct):
    index: int
    username: str
    products: list[dict[str, Any]]
    error: Failure | None


class _Product(msgspec.Struct):
    id: int
    face: str | None = None
    price: int | None = None
    size: int | None = None
    recent: tuple[str, ...] = ()
    purchases: int = 0
    buyers: int = 0
    last_purchased: str | None = None


_MOST_SHARED = 50_000
_decoder = msgspec.json.Decoder(_Line)


def join(files: Sequence[str], fields: Iterable[str]) -> Iterator[Record]:
    """Yield the records of all files in the order of their index, of which every one is there once.

    Only `fields` of a product need to be there. Raises UsageError for what is no part, lacks a field, is out of
    order, or leaves a user out or comes twice.
    """
    wanted = set(fields) | {"id"}
    _allow_open_files(len(files))
    shared: dict[PopularProduct, PopularProduct] = {}
    merged = heapq.merge(*(_read(file, wanted, shared) for file in files), key=lambda found: found[1].index)
    for due, (place, record) in enumerate(merged):
        if record.index < due:
            raise UsageError(f"{place}: the index {record.index} is there twice", "give each part once")
        if record.index > due:
            raise UsageError(f"{place}: no part has the index {due}", "give all parts, each as it was written")
        yield record


def _allow_open_files(count: int) -> None:
    """Raise the number of files that this process may have open, since all parts are read at the same time."""
    least = count + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        with suppress(ValueError):  # beyond what is allowed; opening says so
            resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))


def _read(file: str, wanted: set[str], shared: dict[PopularProduct, PopularProduct]) -> Iterator[tuple[str, Record]]:
    last = -1
    for number, line in enumerate(_lines(file), start=1):
        place = f"{file}: line {number}"
        try:
            record = _record(_decoder.decode(line), wanted, shared)
        except _Lacking as error:
            hint = "make parts with --shard and without --fields: they hold all fields"
            raise UsageError(f"{place}: a product lacks {error}, which is needed here", hint) from error
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{place} is no record of a report: {error}", "parts are made with --format ndjson"
            ) from error
        if record.index <= last:
            raise UsageError(f"{place}: the index {record.index} is out of order", "give parts as they were written")
        last = record.index
        yield place, record


def _lines(file: str) -> Iterator[bytes]:
    try:
        with Path(file).open("rb") as stream:
            yield from filter(bytes.strip, stream)  # blank lines are none
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


class _Lacking(Exception):
    """A product of a part does not have this field."""


def _record(line: _Line, wanted: set[str], shared: dict[PopularProduct, PopularProduct]) -> Record:
    """Return what a line says; products that were there before are the same objects, since many users share them."""
    products = []
    for place, sent in enumerate(line.products, start=1):
        if lacking := wanted - sent.keys() - {"rank"}:
            raise _Lacking(sorted(lacking)[0])
        known = msgspec.convert(sent, _Product)
        last = None if known.last_purchased is None else parse_date(known.last_purchased)
        if last is None and known.last_purchased is not None:
            raise ValueError(f"{shown(known.last_purchased)} is no date")
        product = PopularProduct(
            rank=place,
            id=known.id,
            face=known.face,
            price=known.price,
            size=known.size,
            recent=known.recent,
            purchases=known.purchases,
            buyers=known.buyers,
            last_purchased=last,
        )
        if len(shared) > _MOST_SHARED:  # each user's are others with --exclude-self
            shared.clear()
        products.append(shared.setdefault(product, product))
    return Record(line.index, line.username, tuple(products), line.error)
