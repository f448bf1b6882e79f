"""python -m mock_server: the command on its own, with errors as one line and exit code 2."""

import signal
import sys
from types import FrameType

_NAME = "python -m mock_server"


def main() -> None:
    """Run the command, then exit: 0 after --help, 2 when something was wrong, 130 or 143 when stopped."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    # Imported after that, so that a signal which arrives meanwhile ends the process as promised.
    import typer

    from mock_server.command import mock
    from mock_server.errors import MockServerError

    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(help=(mock.__doc__ or "").replace("acme mock", _NAME))(mock)
    # Typer does not export UsageError, the parent of BadParameter and of every other complaint about options.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    try:
        app(prog_name=_NAME, standalone_mode=False)
    except usage_error as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
    except MockServerError as error:
        message = str(error)
    except OSError as error:
        sys.stdout = None  # or the interpreter would fail to flush it once more
        message = f"cannot write the URL to stdout: {error.strerror}"
    else:
        return
    typer.echo(f"mock_server: {message}", err=True)
    sys.exit(2)


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
