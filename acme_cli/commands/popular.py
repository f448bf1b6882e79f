"""`acme popular`: the popular purchases of one user."""

import time
from typing import Annotated

import typer

from acme_cli.errors import UsageError, UserNotFound
from acme_cli.output import structured
from acme_cli.popular import popular_purchases
from acme_cli.values import FORMATS

from .options import CACHE, CONNECTION, FRESHNESS, OUTPUT, STREAMS, ranking, shared
from .question import question
from .run import Run, format_age


@shared(ranking(FORMATS, "table"), OUTPUT, STREAMS, FRESHNESS, CONNECTION, CACHE)
def popular(
    run: Run,
    username: Annotated[
        str, typer.Argument(metavar="USERNAME", help="The user, spelt as the data API spells it.", show_default=False)
    ],
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
    asked = question(run, default="table")
    if asked.format not in FORMATS:
        origin = asked.settings.origins["format"]
        raise UsageError(f"{origin}: {asked.format} is a format of reports", f"give --format {'|'.join(FORMATS)}")
    try:
        with run.open_api(asked.settings) as api:
            products = popular_purchases(
                api, username, limit=asked.limit, since=asked.since, exclude_self=asked.exclude_self
            )
            for product in products:
                if product.gone:
                    run.warn_later(f"product {product.id} is in the purchases, but the data API knows nothing of it")
    except UserNotFound as error:
        raise UserNotFound(username, run.not_found_hint(asked.settings)) from error
    if asked.format != "table":
        run.answer(structured.render(asked.format, products, fields=asked.fields, indent=run.on_terminal()))
        return
    from acme_cli.output.table import render_table  # imports rich

    age = None if api.oldest is None else f"data fetched {format_age(time.time() - api.oldest)}"
    counted = None if asked.since is None else f"purchases since {run.options['since']}"
    text = render_table(
        username,
        products,
        width=run.width(),
        colour=run.colour(),
        terminal=run.on_terminal(),
        note=" · ".join(part for part in (counted, age) if part),
    )
    run.answer(text.encode("utf-8"))
