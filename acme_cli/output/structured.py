"""The answer for programs: json, ndjson, csv, tsv and markdown, as bytes in UTF-8."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain

from acme_cli.errors import UsageError
from acme_cli.models import PopularProduct
from acme_cli.output.encode import to_json
from acme_cli.output.sanitise import visible

Value = int | str | tuple[str, ...] | None

DEFAULT_FIELDS = ("id", "face", "price", "size", "recent")
"""The contract: these five, in this order, in every format unless other fields are asked for."""

_EPOCH = datetime(1970, 1, 1)  # naive, because isoformat() shall not write an offset

# What could be markup in some dialect of markdown: a special character, an underscore that is not inside a word,
# or the start of an address that would become a link.
_MARKUP = re.compile(r"[\\`*<>\[\]{}&~^=$:@#]|(?<![^\W_])_|_(?![^\W_])|www\.", re.IGNORECASE)


def format_date(microseconds: int | None) -> str | None:
    """Return ISO 8601 in UTC, always with six decimals, so that it sorts as text: 2026-10-01T12:00:00.000000Z."""
    if microseconds is None:
        return None
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # an offset can push a date out of the years 1 to 9999, which have no such form
        return None
    return moment.isoformat(timespec="microseconds") + "Z"


FIELDS: dict[str, Callable[[PopularProduct], Value]] = {
    "id": lambda product: product.id,
    "face": lambda product: product.face,
    "price": lambda product: product.price,
    "size": lambda product: product.size,
    "recent": lambda product: product.recent,
    "rank": lambda product: product.rank,
    "purchases": lambda product: product.purchases,
    "buyers": lambda product: product.buyers,
    "last_purchased": lambda product: format_date(product.last_purchased),
}
"""Every field that can be asked for, and how it is read."""


def parse_fields(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list, in its order.

    Raises UsageError for a name that is unknown, empty, or given twice.
    """
    names = tuple(name.strip() for name in text.split(","))
    known = f"Known fields: {', '.join(FIELDS)}."
    for index, name in enumerate(names):
        if not name:
            raise UsageError("--fields has an empty field name.", hint=known)
        if name not in FIELDS:
            from difflib import get_close_matches  # only a mistake needs it

            near = get_close_matches(name.lower(), FIELDS, n=1)
            guess = f"Did you mean '{near[0]}'?" if near else None
            raise UsageError(f"--fields: unknown field '{visible(name)}'. {known}", hint=guess)
        if name in names[:index]:
            raise UsageError(f"--fields names '{name}' twice.", hint="Name each field once.")
    return names


def render(
    format: str,  # noqa: A002  the name of the option
    products: Sequence[PopularProduct],
    *,
    fields: tuple[str, ...] | None = None,
    indent: bool = False,
) -> bytes:
    """Return the answer in one of FORMATS, ending in one newline; ndjson without products is empty.

    `fields` are names as `parse_fields` returns them, None the five of the contract. `indent` is for json only.
    """
    names = fields or DEFAULT_FIELDS
    rows: list[list[Value]] = [[FIELDS[name](product) for name in names] for product in products]
    return b"".join(FORMATS[format](names, rows, indent))


def _json(names: tuple[str, ...], rows: Iterable[list[Value]], indent: bool) -> Iterator[bytes]:
    yield to_json([dict(zip(names, row, strict=True)) for row in rows], indent=indent)


def _ndjson(names: tuple[str, ...], rows: Iterable[list[Value]], _indent: bool) -> Iterator[bytes]:
    for row in rows:
        yield to_json(dict(zip(names, row, strict=True)))


def _csv(names: tuple[str, ...], rows: Iterable[list[Value]], _indent: bool) -> Iterator[bytes]:
    import csv  # only this format needs them
    import io

    for row in chain([list(names)], ([_unarmed(_cell(value)) for value in row] for row in rows)):
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue().encode()


def _tsv(names: tuple[str, ...], rows: Iterable[list[Value]], _indent: bool) -> Iterator[bytes]:
    for row in chain([list(names)], ([visible(_cell(value)) for value in row] for row in rows)):
        yield ("\t".join(row) + "\n").encode()


def _markdown(names: tuple[str, ...], rows: Iterable[list[Value]], _indent: bool) -> Iterator[bytes]:
    to_the_right = {"id", "price", "size", "rank", "purchases", "buyers"}
    head = [list(names), ["---:" if name in to_the_right else "---" for name in names]]
    for line in chain(head, ([_literal(_cell(value)) for value in row] for row in rows)):
        yield f"| {' | '.join(line)} |\n".encode()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _unarmed(cell: str) -> str:
    """Return a csv cell that no spreadsheet takes for a formula; its first character decides before it is escaped."""
    return ("'" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else "") + visible(cell)


def _literal(cell: str) -> str:
    r"""Return a cell that renders as the text it is.

    A `|` is escaped. What could be markup becomes a code span, whose content no dialect interprets: the text itself
    stays as it came, which escaping with backslashes (`¯\\\_(ツ)\_/¯`) would not leave it.
    """
    shown = visible(cell)
    text = shown.replace("|", r"\|")
    if not _MARKUP.search(shown):
        return text
    fence = "`"
    while fence in text:
        fence += "`"
    pad = " " if text[0] in "` " or text[-1] in "` " else ""  # markdown takes one space off each end
    return f"{fence}{pad}{text}{pad}{fence}"


FORMATS: dict[str, Callable[[tuple[str, ...], Iterable[list[Value]], bool], Iterator[bytes]]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "tsv": _tsv,
    "markdown": _markdown,
}
"""The structured formats by name: field names, rows, and whether to indent, to the parts of a document."""
