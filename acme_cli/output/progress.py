"""One spinner line on stderr while requests are under way."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from rich.spinner import Spinner

_PATIENCE = 0.3
"""Seconds before anything is drawn."""
_PAUSE = 0.1
"""Seconds between two drawings, at least."""


@contextmanager
def progress(enabled: bool) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Give a function that draws how far things are, which it is told how to say; call it as often as there is news.

    It draws only if `enabled` (the caller knows whether stderr is a terminal), and nothing in the first 300 ms.
    However the block ends, the line is wiped and the cursor is back. Wipe-out takes what stands on that line, so
    write nothing else to stderr inside the block.
    """
    due = time.monotonic() + _PATIENCE
    drawing: tuple[Live, Spinner] | None = None

    def show(says: Callable[[], str]) -> None:
        nonlocal drawing, due
        if not enabled or time.monotonic() < due:
            return
        due = time.monotonic() + _PAUSE
        if drawing is None:
            drawing = _spinner()
        live, spinner = drawing
        with suppress(OSError):  # a terminal that went away is no reason to stop working
            live.start()
            spinner.update(text=says())
            live.refresh()

    try:
        yield show
    finally:
        if drawing is not None:
            with suppress(OSError):
                drawing[0].stop()


def _spinner() -> "tuple[Live, Spinner]":
    # Imported here: it takes a while, and most answers come before anything is drawn.
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True, force_terminal=True, color_system=None)
    spinner = Spinner("dots" if console.encoding.lower().startswith("utf") else "line")
    live = Live(
        spinner,
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return live, spinner
