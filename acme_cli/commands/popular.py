"""`acme popular`: the popular purchases of one user."""

import time
from typing import Annotated

import typer

from acme_cli.errors import UsageError, UserNotFound
from acme_cli.models import parse_date
from acme_cli.output import structured
from acme_cli.popular import popular_purchases
from acme_cli.values import FORMATS, parse_duration

from .options import CACHE, CONNECTION, FRESHNESS, OUTPUT, STREAMS, shared
from .run import Run, format_age


@shared(OUTPUT, STREAMS, FRESHNESS, CONNECTION, CACHE)
def popular(  # noqa: PLR0917  Typer calls it by keyword
    run: Run,
    username: Annotated[
        str, typer.Argument(metavar="USERNAME", help="The user, spelt as the data API spells it.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json; errors are JSON too.")] = False,
    format: Annotated[  # noqa: A002  the option's name
        str | None,
        typer.Option(
            metavar="FORMAT",
            help=f"One of {', '.join(FORMATS)}. [env: ACME_FORMAT; default: table]",
            autocompletion=lambda: list(FORMATS),
        ),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help=f"Choose and order the fields of every format but table: {', '.join(structured.FIELDS)}.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="How many recent purchases to rank.", metavar="N", show_default="5")
    ] = None,
    exclude_self: Annotated[bool, typer.Option("--exclude-self", help="Leave the user's own purchases out.")] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Count only purchases since then: 30d, 12h, 2026-10-01 (UTC)."),
    ] = None,
) -> None:
    """Show a customer's popular purchases.

    The products among the user's last five purchases, ranked by how often everyone bought them, with who did.

    \b
    Examples:
      acme popular Frannie79 --demo
      acme popular Frannie79 --api-url http://127.0.0.1:8085/api/
      acme popular Frannie79 --json | jq '.[0].recent'
      acme popular Frannie79 --since 30d --exclude-self --format csv -o popular.csv
    """
    now = time.time()
    chosen_fields = None if fields is None else structured.parse_fields(fields)
    if as_json and format not in {None, "json"}:
        raise UsageError(f"--json and --format {format} exclude each other", "leave one of them out")
    settings = run.settings(format="json" if as_json else format)
    if chosen_fields and settings.format == "table":
        raise UsageError("--fields has no meaning for a table", "add --format csv, or --json")
    if limit is not None and not 1 <= limit <= settings.page_size:
        raise UsageError(f"--limit {limit} is out of range", f"give 1 to {settings.page_size}, the page size")
    earliest = None if since is None else _moment(since, now)
    try:
        with run.open_api(settings) as api:
            products = popular_purchases(api, username, limit=limit or 5, since=earliest, exclude_self=exclude_self)
            for product in products:
                if product.gone:
                    run.warn_later(f"product {product.id} is in the purchases, but the data API knows nothing of it")
    except UserNotFound as error:
        raise UserNotFound(username, run.not_found_hint(settings)) from error
    if settings.format != "table":
        run.answer(structured.render(settings.format, products, fields=chosen_fields, indent=run.on_terminal()))
        return
    from acme_cli.output.table import render_table  # imports rich

    age = None if api.oldest is None else f"data fetched {format_age(time.time() - api.oldest)}"
    counted = None if since is None else f"purchases since {since}"
    text = render_table(
        username,
        products,
        width=run.width(),
        colour=run.colour(),
        terminal=run.on_terminal(),
        note=" · ".join(part for part in (counted, age) if part),
    )
    run.answer(text.encode("utf-8"))


def _moment(since: str, now: float) -> int:
    """Return --since, a duration before `now` (seconds) or a date, as microseconds since 1970."""
    date = parse_date(since)
    if date is not None:
        return date
    try:
        return round((now - parse_duration(since)) * 1_000_000)
    except ValueError as error:
        hint = "give a duration such as 30d, or a date such as 2026-10-01"
        raise UsageError(f"--since: {since!r} is neither a duration nor a date", hint) from error
