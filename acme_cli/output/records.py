"""A report in each of its formats, as parts of a document in UTF-8, as soon as each is known."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from acme_cli.models import Head, Record
from acme_cli.output import structured
from acme_cli.output.encode import to_json
from acme_cli.output.sanitise import visible
from acme_cli.output.structured import FIELDS, format_date

VERSION = 1
"""Of the JSON document; it goes up when a reader of an older one would misread a newer one."""

Render = Callable[[Iterable[Record], Callable[[], Head], Sequence[str]], Iterator[bytes]]
"""Records, what gives the head once all of them have been read, and the fields of a product, to parts of a document."""


def ndjson(records: Iterable[Record], _head: Callable[[], Head], fields: Sequence[str]) -> Iterator[bytes]:
    """Yield a line for each record, as soon as it comes."""
    for record in records:
        yield to_json(_plain(record, fields))


def json(
    records: Iterable[Record], head: Callable[[], Head], fields: Sequence[str], *, indent: bool = False
) -> Iterator[bytes]:
    """Yield the document that the schema describes, on one line unless `indent`."""
    users = [to_json(_plain(record, fields)).rstrip() for record in records]
    made = head()
    data = {"oldest": format_date(made.oldest), "newest": format_date(made.newest), "outage": made.outage}
    document = {"version": VERSION, "made_at": format_date(made.made_at), "data": data, "users": list[Any]()}
    if indent:
        yield to_json(document | {"users": [msgspec.Raw(user) for user in users]}, indent=True)
        return
    # Put together by hand, since in one piece it would be in memory three times.
    yield to_json(document).removesuffix(b"]}\n")
    for place, user in enumerate(users):
        yield b"," + user if place else user
    yield b"]}\n"


def rows(name: str) -> Render:
    """Return what gives a csv or tsv table: a row for each product of each user, who is named first.

    A user without products has one row; the last column says why, if something failed.
    """

    def render(records: Iterable[Record], _head: Callable[[], Head], fields: Sequence[str]) -> Iterator[bytes]:
        return structured.FORMATS[name](("username", *fields, "error"), _rows(records, fields), False)

    return render


def markdown(records: Iterable[Record], head: Callable[[], Head], fields: Sequence[str]) -> Iterator[bytes]:
    """Yield the same as a markdown table, below a line on the outage if there was one."""
    yield from below_outage(rows("markdown")(records, head, fields), head, "> {}\n\n")


def below_outage(document: Iterable[bytes], head: Callable[[], Head], line: str) -> Iterator[bytes]:
    """Yield what is said at the top of a document for people if stored data stood in, then the document."""
    parts = list(document)
    outage = head().outage
    if outage is not None:
        yield line.format(f"The data API failed; this is from stored data: {visible(outage)}").encode()
    yield from parts


def _rows(records: Iterable[Record], fields: Sequence[str]) -> Iterator[list[structured.Value]]:
    for record in records:
        for product in record.products:
            yield [record.username, *(FIELDS[field](product) for field in fields), None]
        if not record.products:
            yield [record.username, *[None] * len(fields), None if record.error is None else record.error.message]


def _plain(record: Record, fields: Sequence[str]) -> dict[str, Any]:
    products = [{field: FIELDS[field](product) for field in fields} for product in record.products]
    return {"index": record.index, "username": record.username, "products": products, "error": record.error}


RENDER: dict[str, Render] = {
    "ndjson": ndjson,
    "json": json,
    "markdown": markdown,
    **{name: rows(name) for name in ("csv", "tsv")},
}
"""The structured formats of a report by name."""
