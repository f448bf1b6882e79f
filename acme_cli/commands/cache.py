"""`acme cache`: what is stored, where, and how to be rid of it."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer

from acme_cli.cache.disk import CacheUnusable, DiskStore, Removed
from acme_cli.cache.store import Stats
from acme_cli.errors import UsageError
from acme_cli.output.encode import to_json
from acme_cli.output.sanitise import visible
from acme_cli.values import parse_duration

from .options import CACHE, JSON, STREAMS, shared
from .run import Run, format_age

app = typer.Typer(no_args_is_help=False)


@app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Show, prune or clear the stored responses.

    \b
    Examples:
      acme cache info
      acme cache prune --older-than 7d
      acme cache clear --yes
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
@shared(JSON, STREAMS, CACHE)
def info(run: Run) -> None:
    """Show how many responses are stored, their size and age, and of which data APIs.

    \b
    Examples:
      acme cache info
      acme cache info --json | jq .size
    """
    with _store(run) as (directory, store):
        stats = store.stats()
    render = _json if run.options["as_json"] else _lines
    run.answer(render(directory, stats))


@app.command("dir")
@shared(STREAMS, CACHE)
def directory(run: Run) -> None:
    """Print the cache's folder.

    \b
    Examples:
      acme cache dir
      du -sh "$(acme cache dir)"
    """
    run.answer(os.fsencode(run.settings().cache_dir) + b"\n")


@app.command()
@shared(STREAMS, CACHE)
def prune(
    run: Run,
    older_than: Annotated[
        str,
        typer.Option(metavar="TIME", help="Remove what was stored longer ago than this: 7d, 12h.", show_default=False),
    ],
) -> None:
    """Remove old responses.

    \b
    Examples:
      acme cache prune --older-than 7d
    """
    try:
        seconds = parse_duration(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}", "give a duration such as 7d") from error
    with _store(run) as (folder, store):
        removed = store.prune(seconds)
    _say_removed(run, folder, removed)


@app.command()
@shared(STREAMS, CACHE)
def clear(
    run: Run, yes: Annotated[bool, typer.Option("--yes", help="Do not ask, not even on a terminal.")] = False
) -> None:
    """Remove all stored responses, of every data API.

    \b
    Examples:
      acme cache clear --yes
    """
    with _store(run) as (folder, store):
        removed = store.clear() if yes or _agreed(folder) else Removed(0, 0)
    _say_removed(run, folder, removed)


def _agreed(folder: str) -> bool:
    """Return whether the person at the terminal agrees; where there is none, nobody is asked."""
    if not (os.isatty(0) and os.isatty(1)):
        return True
    try:
        return typer.confirm(f"Remove everything that is stored in {visible(folder)}?", err=True)
    except typer.Abort:
        return False


@contextmanager
def _store(run: Run) -> Iterator[tuple[str, DiskStore]]:
    """Give the cache's folder and the store in it. What it fails with becomes a UsageError."""
    settings = run.settings()
    store = DiskStore(settings.cache_dir, settings.cache_size_limit)
    try:
        yield settings.cache_dir, store
    except (sqlite3.Error, CacheUnusable, OSError) as error:
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        hint = (
            "another process is writing to it: try again"
            if busy
            else "`acme cache clear` removes what is stored; --cache-dir names another folder"
        )
        raise UsageError(f"the cache in {settings.cache_dir} cannot be used: {error}", hint) from error
    finally:
        store.close()


def _say_removed(run: Run, folder: str, removed: Removed) -> None:
    responses = "1 response" if removed.entries == 1 else f"{removed.entries:,} responses"
    run.answer(f"removed {responses} ({_size(removed.size)}) from {visible(folder)}\n".encode())


def _json(folder: str, stats: Stats) -> bytes:
    document = {"directory": folder, **msgspec.structs.asdict(stats)}
    document["apis"] = document.pop("groups")
    return to_json(document)


def _lines(folder: str, stats: Stats) -> bytes:
    now = time.time()
    lines = [("folder", folder), ("responses", f"{stats.entries:,}"), ("size", _size(stats.size))]
    if stats.oldest is not None and stats.newest is not None:
        lines += [("oldest", format_age(now - stats.oldest)), ("newest", format_age(now - stats.newest))]
    lines += [("of", f"{base_url}  {count:,}") for base_url, count in stats.groups.items()]
    return "".join(f"{name:<10} {visible(text)}\n" for name, text in lines).encode()


def _size(size: int) -> str:
    """Return bytes for people, with one decimal."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
