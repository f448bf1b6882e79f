"""The options that commands share, declared once."""

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from acme_cli.output.structured import FIELDS
from acme_cli.settings import SETTINGS

from .run import Run

Shared = dict[str, tuple[Any, Any]]
"""Options by parameter name: the annotation that Typer reads, and the default."""

COLOURS = ("auto", "always", "never")


def _colour(value: str) -> str:
    if value not in COLOURS:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(COLOURS)}.")
    return value


def _flag(*names: str, help: str, panel: str | None = None) -> tuple[Any, Any]:  # noqa: A002  Typer's own name
    return Annotated[bool, typer.Option(*names, help=help, rich_help_panel=panel)], False


def _setting(name: str, panel: str) -> tuple[Any, Any]:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    says = f"{setting.help} [env: {setting.environment}; default: {setting.default_text}]"
    kind = bool | None if bool in setting.kinds else str | None
    metavar = None if bool in setting.kinds else setting.name.rpartition("_")[2].upper()
    names = f"{setting.option}/--no-{setting.name}" if bool in setting.kinds else setting.option
    return Annotated[kind, typer.Option(names, metavar=metavar, help=says, rich_help_panel=panel)], None


STREAMS: Shared = {
    "quiet": _flag("-q", "--quiet", help="Print nothing on stderr but errors."),
    "verbose": _flag("-v", "--verbose", help="Print each request on stderr, and totals."),
    "debug": _flag("--debug", help="Print tracebacks of errors."),
    "color": (
        Annotated[
            str,
            typer.Option(
                metavar="|".join(COLOURS),
                help="When to colour.",
                callback=_colour,
                autocompletion=lambda: list(COLOURS),
            ),
        ],
        "auto",
    ),
}
"""How a command speaks to people."""

_FRESHNESS = "Freshness"
FRESHNESS: Shared = {
    "ttl": _setting("ttl", _FRESHNESS),
    "max_stale": _setting("max_stale", _FRESHNESS),
    "refresh": _flag("--refresh", help="Ask the API even for what is fresh, and store what it says.", panel=_FRESHNESS),
    "offline": _setting("offline", _FRESHNESS),
    "no_cache": _flag("--no-cache", help="Neither read nor write stored responses.", panel=_FRESHNESS),
}
"""How old an answer may be."""

_SETTINGS = "Settings"
CONNECTION: Shared = {
    "api_url": _setting("api_url", _SETTINGS),
    "demo": _flag("--demo", help="Ask a made-up shop inside this process.", panel=_SETTINGS),
    **{
        name: _setting(name, _SETTINGS) for name in ("api_token_file", "timeout", "retries", "concurrency", "page_size")
    },
}
"""Which data API, and how it is asked."""

CACHE: Shared = {
    "cache_dir": _setting("cache_dir", _SETTINGS),
    "cache_size_limit": _setting("cache_size_limit", _SETTINGS),
    "env_file": (
        Annotated[
            str | None,
            typer.Option(
                metavar="FILE",
                help="Read settings from this dotenv file. [env: ACME_ENV_FILE]",
                rich_help_panel=_SETTINGS,
            ),
        ],
        None,
    ),
}
"""Where responses are stored."""

OUTPUT: Shared = {
    "output": (
        Annotated[
            str | None,
            typer.Option("-o", "--output", metavar="FILE", help="Write the answer to FILE, whole or not at all."),
        ],
        None,
    ),
}
"""Where the answer goes."""


def ranking(formats: Sequence[str], default: str) -> Shared:
    """Which purchases are ranked, and how the ranking is written: in one of `formats`."""
    return {
        "as_json": _flag("--json", help="The same as --format json; errors are JSON too."),
        "format": (
            Annotated[
                str | None,
                typer.Option(
                    metavar="FORMAT",
                    help=f"One of {', '.join(formats)}. [env: ACME_FORMAT; default: {default}]",
                    autocompletion=lambda: list(formats),
                ),
            ],
            None,
        ),
        "fields": (
            Annotated[
                str | None,
                typer.Option(
                    metavar="NAMES",
                    help=f"Choose and order the fields of a product, but in table and html: {', '.join(FIELDS)}.",
                ),
            ],
            None,
        ),
        "limit": (
            Annotated[
                int | None, typer.Option(help="How many recent purchases to rank.", metavar="N", show_default="5")
            ],
            None,
        ),
        "exclude_self": _flag("--exclude-self", help="Leave the user's own purchases out."),
        "since": (
            Annotated[
                str | None,
                typer.Option(metavar="WHEN", help="Count only purchases since then: 30d, 12h, 2026-10-01 (UTC)."),
            ],
            None,
        ),
    }


JSON: Shared = {"as_json": _flag("--json", help="Print JSON, errors included.")}


def shared(*groups: Shared) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `groups` after its own; it gets them as its first argument, a Run."""
    options = {name: option for group in groups for name, option in group.items()}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = list(signature.parameters.values())[1:]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in options.items()
        ]

        def run(**values: Any) -> None:
            command(Run({name: values.pop(name) for name in options}, os.environ), **values)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        parameters = [*own, *added]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate
