"""`acme report`: the popular purchases of many users, as one document."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from acme_cli.data_api import endpoints
from acme_cli.data_api.client import DataApi
from acme_cli.errors import AcmeError, ExitCode, UsageError
from acme_cli.models import Head, Record
from acme_cli.output.records import RENDER, Render, below_outage, json
from acme_cli.output.sanitise import visible
from acme_cli.output.structured import DEFAULT_FIELDS, FIELDS
from acme_cli.output.write import in_pieces
from acme_cli.parts import join
from acme_cli.report import WHOLE, Shard, records
from acme_cli.usernames import read_usernames
from acme_cli.values import REPORT_FORMATS, parse_duration, shown

from .options import CACHE, CONNECTION, FRESHNESS, OUTPUT, STREAMS, ranking, shared
from .question import WITHOUT_FIELDS, question
from .run import Run
from .seen import Seen

_STDIN = "-"
_MOST_SHARDS = 10_000
_NOT_FOR_MERGE = ("limit", "since", "exclude_self", "refresh", "no_cache", "offline", "demo", "api_url")
"""Options of the runs that make the parts."""


@shared(ranking(REPORT_FORMATS, "table on a terminal, else ndjson"), OUTPUT, STREAMS, FRESHNESS, CONNECTION, CACHE)
def report(  # noqa: PLR0917  Typer calls it by keyword
    run: Run,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[USERNAME…|-]",
            help="The users; - reads one name a line from stdin, where # starts a comment.",
            show_default=False,
        ),
    ] = None,
    all_users: Annotated[bool, typer.Option("--all", help="Report on every user that the data API lists.")] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Take the K-th of N parts of the users; products get all fields."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Join parts, files of ndjson that are named in place of users.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first user that fails.")] = False,
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long to wait for another run that writes the same file.")
    ] = "0s",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of --format json, and end.")] = False,
) -> None:
    """Report on many users: what `popular` shows of one, as one document.

    A user who fails is part of the document, and the exit code is then 6.

    \b
    Examples:
      acme report Frannie79 Barney_Bins18 --demo
      acme report - --format ndjson < users.txt | jq -r 'select(.error) | .username'
      acme report --all --format html -o popular.html -q
      acme report --all --shard 3/16 --format ndjson -o part-3.ndjson
      acme report --merge part-*.ndjson --format html -o popular.html
    """
    if schema:
        from importlib.resources import files  # slow

        run.answer(files("acme_cli.output").joinpath("report.schema.json").read_bytes())
        return
    part = _part(shard)
    _check(run, names or [], all_users=all_users, merge=merge, shard=shard, fail_fast=fail_fast)
    asked = question(run, default="table" if run.on_terminal() else "ndjson")
    try:
        patience = parse_duration(wait)
    except ValueError as error:
        raise UsageError(f"--wait: {error}", "give a duration such as 10m") from error
    fields = asked.fields or (DEFAULT_FIELDS if shard is None else tuple(FIELDS))
    render = _render(run, asked.format)
    seen = Seen()
    with run.writing(patience, at_once=asked.format != "ndjson") as write:
        if merge:
            needed = FIELDS if asked.format in WITHOUT_FIELDS else fields
            parts = seen.watch(join(names or [], needed))
            _write(write, asked.format, render(parts, lambda: Head(_now()), fields))
        else:
            alone = asked.format != "ndjson" or not run.on_terminal()
            with run.open_api(asked.settings, seen.progress, alone=alone) as api:
                seen.api = api
                usernames, seen.total = _usernames(run, api, names or [], part)
                counted = records(
                    api,
                    usernames,
                    limit=asked.limit,
                    since=asked.since,
                    exclude_self=asked.exclude_self,
                    listed=all_users,
                    shard=part,
                    fail_fast=fail_fast,
                    not_found_hint=run.not_found_hint(asked.settings),
                )
                _write(write, asked.format, render(seen.watch(counted), lambda: _head(api), fields))
                seen.warn_of_gone(run)
    run.note(seen.summary())
    if seen.failed:
        raise typer.Exit(ExitCode.SOME_USERS_FAILED)


def _write(write: Callable[[bytes], None], format: str, document: Iterable[bytes]) -> None:  # noqa: A002  as above
    """Write a document as it is made, ndjson line by line."""
    for part in document if format == "ndjson" else in_pieces(document):
        write(part)


def _check(run: Run, names: Sequence[str], *, all_users: bool, merge: bool, shard: str | None, fail_fast: bool) -> None:
    """Raise UsageError for what contradicts itself."""
    if merge:
        meaningless = [f"--{name.replace('_', '-')}" for name in _NOT_FOR_MERGE if run.options[name]]
        meaningless += ["--all"] * all_users + ["--shard"] * (shard is not None) + ["--fail-fast"] * fail_fast
        if meaningless:
            raise UsageError(f"{meaningless[0]} has no meaning with --merge", "it is for the runs that make the parts")
        if not names:
            raise UsageError("no parts are named", "name them after --merge: part-*.ndjson")
    elif all_users and names:
        raise UsageError("--all and usernames exclude each other", "leave one of them out")
    elif _STDIN in names and len(names) > 1:
        raise UsageError("- stands for stdin, and goes with no other username", "put all names into stdin")
    elif not names and not all_users:
        raise UsageError("no users are named", "name some, give - to read them from stdin, or --all")


def _part(shard: str | None) -> Shard:
    """Return the part of the users that `3/16` means. Raises UsageError."""
    if shard is None:
        return WHOLE
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= _MOST_SHARDS):
        raise UsageError(f"--shard: {shown(shard)} is not K/N with K from 1 to N", "give 3/16 for the third of sixteen")
    return Shard(int(number), int(count))


def _usernames(run: Run, api: DataApi, names: Sequence[str], part: Shard) -> tuple[Iterable[Sequence[str]], int | None]:
    """Return the users in batches, and how many are in the part if that is known; without names, all there are."""
    if names == [_STDIN]:
        if sys.stdin is None:
            raise UsageError("stdin is closed, so no usernames can be read from it")
        return read_usernames(0, None if run.options["output"] else 1), None
    if names:
        return [names], sum(map(part.holds, names))
    listed = endpoints.users()
    (users,) = api.gather([listed])
    api.drop([listed])
    if isinstance(users, AcmeError):
        raise users
    everyone = [user.username for user in users]
    return [everyone], sum(map(part.holds, everyone))


def _render(run: Run, format: str) -> Render:  # noqa: A002  the option's name
    if format == "json":
        return partial(json, indent=run.on_terminal())
    return {"table": _tables(run), "html": _html}.get(format) or RENDER[format]


def _tables(run: Run) -> Render:
    """Return what draws a table for each user; who failed is told in a line."""

    def render(coming: Iterable[Record], head: Callable[[], Head], _fields: Sequence[str]) -> Iterator[bytes]:
        return below_outage(_drawn(run, coming), head, "{}\n\n")

    return render


def _drawn(run: Run, coming: Iterable[Record]) -> Iterator[bytes]:
    from acme_cli.output.table import render_table  # imports rich

    fit: dict[str, Any] = {"width": run.width(), "colour": run.colour(), "terminal": run.on_terminal()}
    for place, record in enumerate(coming):
        if record.error is None:
            text = render_table(record.username, record.products, **fit)
        else:
            text = f"{visible(record.username)}: {visible(record.error.message)}\n"
        yield (f"\n{text}" if place else text).encode()


def _html(coming: Iterable[Record], head: Callable[[], Head], _fields: Sequence[str]) -> Iterator[bytes]:
    from acme_cli.output.html import render_html  # imports jinja2

    found = list(coming)
    yield from render_html(found, head())


def _head(api: DataApi) -> Head:
    oldest, newest = (None if moment is None else round(moment * 1_000_000) for moment in (api.oldest, api.newest))
    return Head(_now(), oldest, newest, outage=None if api.failure is None else api.failure.message)


def _now() -> int:
    return round(time.time() * 1_000_000)
