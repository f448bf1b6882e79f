"""The report as one HTML page, which loads nothing from anywhere and in which text of the API is only ever text."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, StrictUndefined  # noqa: TID253  this module is imported for a report in HTML only

from acme_cli.insights import overall, sharers
from acme_cli.models import Head, Record
from acme_cli.output.sanitise import visible

NAMES_SHOWN = 6
"""The newest buyers that a card names; a click on "more" shows the product's."""

NAMES_LISTED = 100
"""The newest buyers that the page holds of each product, which bounds its size; the other formats hold all."""

BARS_SHOWN = 20
"""The products in the chart; the rest are in a table to unfold."""

_EPOCH = datetime(1970, 1, 1)  # naive, because isoformat() shall not write an offset
_FILES = files(__name__)


def render_html(records: Sequence[Record], head: Head) -> Iterator[bytes]:
    """Yield the page in UTF-8, piece by piece; the same records and head give the same bytes."""
    # A width is a class, because the page's policy forbids style attributes.
    widths = "".join(f".w{percent}{{--w:{percent}%}}" for percent in range(101))
    style, script = _text("report.css") + widths + "\n", _text("report.js")
    ranking = overall(records)
    ranked = [record for record in records if not record.error]
    page = _environment().from_string(_text("report.html.jinja"))
    stream = page.stream(
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        head=head,
        users=len(records),
        ranked=ranked,
        ranking=ranking,
        failed=[record for record in records if record.error],
        buyers=len({name for place in ranking for name in place.product.recent}),
        ranks={place.product.id: place.product.rank for place in ranking},
        cards={record.username: number for number, record in enumerate(ranked)},
    )
    stream.enable_buffering(2000)
    return (piece.encode() for piece in stream)


def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters.update(number=_number, percent=_percent, moment=_moment)
    environment.globals.update(
        sharers=sharers, names_shown=NAMES_SHOWN, names_listed=NAMES_LISTED, bars_shown=BARS_SHOWN
    )
    return environment


def _text(name: str) -> str:
    return (_FILES / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _shown(value: object) -> object:
    """Return what an expression of the template writes, all plain text made visible; Jinja then escapes it.

    Markup, which is a type of its own, is the style, the script, and what macros made: it has been through here.
    """
    return visible(value) if type(value) is str else value


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _percent(part: int, whole: int) -> int:
    """Return the width of a bar, at least 1 for what is not nothing."""
    return -(-100 * part // whole) if whole else 0


def _moment(microseconds: int | None) -> str | None:
    """Return a date as 2026-10-01T12:00:00Z, or None where it is not known or beyond the years that have this form."""
    if microseconds is None:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="seconds") + "Z"
    except OverflowError:
        return None
