"""`acme config`: every setting in force, and where it comes from."""

import io

from acme_cli.output.encode import to_json
from acme_cli.output.sanitise import visible
from acme_cli.settings import Settings, public_view

from .options import CACHE, CONNECTION, FRESHNESS, JSON, STREAMS, shared
from .run import Run

_UNFOLDED = 10_000
"""Columns enough for what no terminal limits."""


def config_json(settings: Settings, *, indent: bool = False) -> bytes:
    """Return one object, setting to value and origin, ending in a newline: seconds, bytes, the token as set or not."""
    view = {setting.name: {"value": setting.value, "origin": setting.origin} for setting in public_view(settings)}
    return to_json(view, indent=indent)


def config_table(settings: Settings, width: int, colour: bool) -> str:
    """Return the same as a table of at most `width` columns for people; what does not fit is folded, never cut."""
    from rich.console import Console  # slow
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("From", overflow="fold")
    for setting in public_view(settings):
        style = "dim" if setting.origin == "default" else ""
        cells = (setting.name, setting.text, setting.origin)
        table.add_row(*(Text(visible(cell)) for cell in cells), style=style)

    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        _environ={},
    )
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


@shared(JSON, STREAMS, CONNECTION, FRESHNESS, CACHE)
def config(run: Run) -> None:
    """Show every setting in force, and where it comes from.

    \b
    Examples:
      acme config
      acme config --json | jq .ttl.value
      acme config --env-file /etc/acme.env
    """
    settings = run.settings()
    if run.options["as_json"]:
        run.answer(config_json(settings, indent=run.on_terminal()))
    else:
        run.answer(
            config_table(settings, run.width() if run.on_terminal() else _UNFOLDED, run.colour()).encode("utf-8")
        )
