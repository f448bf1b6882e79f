"""What `popular` and `report` are asked for, read from the options that they share."""

import time
from typing import NamedTuple

from acme_cli.errors import UsageError
from acme_cli.models import parse_date
from acme_cli.output.structured import parse_fields
from acme_cli.settings import Settings
from acme_cli.values import parse_duration

from .run import Run

WITHOUT_FIELDS = {"table", "html"}
"""Formats that show what they show."""


class Question(NamedTuple):
    """The settings in force, what is ranked (`since` in microseconds since 1970), and how it is written."""

    settings: Settings
    format: str
    fields: tuple[str, ...] | None
    limit: int
    exclude_self: bool
    since: int | None


def question(run: Run, default: str) -> Question:
    """Return what the options ask for; `default` gives the format where none is set. Raises UsageError."""
    now = time.time()
    options = run.options
    fields = None if options["fields"] is None else parse_fields(options["fields"])
    if options["as_json"] and options["format"] not in {None, "json"}:
        raise UsageError(f"--json and --format {options['format']} exclude each other", "leave one of them out")
    settings = run.settings(format="json" if options["as_json"] else options["format"])
    chosen = default if settings.origins["format"] == "default" else settings.format
    if fields and chosen in WITHOUT_FIELDS:
        raise UsageError(f"--fields has no meaning for {chosen}", "add --format csv, or --json")
    limit = options["limit"]
    if limit is not None and not 1 <= limit <= settings.page_size:
        raise UsageError(f"--limit {limit} is out of range", f"give 1 to {settings.page_size}, the page size")
    since = None if options["since"] is None else _moment(options["since"], now)
    return Question(settings, chosen, fields, limit or 5, options["exclude_self"], since)


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
