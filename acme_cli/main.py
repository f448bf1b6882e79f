"""The Typer app, and the one place where errors become exit codes."""

import errno
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from .errors import AcmeError, ExitCode, OutputError, Stopped, UsageError
from .output.encode import to_json
from .output.sanitise import visible
from .output.write import write_stderr, write_stdout

_ClickException: Any = typer.BadParameter.__mro__[2]
"""The base of what parsing raises. Where it lives differs between releases of Typer."""

_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What printing to stdout fails with; failing files and sockets are dealt with where they are used."""

_HELP = {"help_option_names": ["-h", "--help"]}


def _print_version(wanted: bool) -> None:
    if wanted:
        from acme_cli import __version__

        write_stdout(f"acme {__version__}\n".encode())
        raise typer.Exit


def acme(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Popular purchases of a shop's customers, from its data API.

    \b
    Examples:
      acme popular Frannie79 --demo          try it on made-up data
      acme popular Frannie79 --json          for programs
      acme report --all --format html -o popular.html
      acme doctor                            what is wrong, and how to mend it
      acme mock                              run a data API on this machine
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


COMMANDS = ("popular", "report", "mock", "cache", "config", "doctor")
"""Every command; each is a module in `commands`, with a function or, for one that has commands of its own, an `app`."""


def build(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the command line with these commands."""
    app = typer.Typer(context_settings=_HELP, pretty_exceptions_enable=False, no_args_is_help=False)
    app.callback(invoke_without_command=True)(acme)
    for name in names:
        module = import_module(f"acme_cli.commands.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, context_settings=_HELP)
        else:
            app.command(name)(getattr(module, name))
    return app


def run() -> NoReturn:
    """Run the command line, and end the process with the exit code of what came of it."""
    for number, ending in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stopper(ending))
    sys.unraisablehook = end_if_stopped
    if sys.stdout is None:
        # Closed since the start. What others print, such as help, must fail there as our own answers do.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    arguments = sys.argv[1:]
    code: int
    try:
        code = _outcome(arguments)
        if sys.stderr is not None:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
    except Stopped as stop:
        code = stop.exit
    # Everything is written and closed: what is left is the interpreter's tear-down, and threads that wait for a
    # server. Skipping both ends an interrupted run at once, and every other one some 10 ms sooner.
    os._exit(code)


def end_if_stopped(lost: "sys.UnraisableHookArgs") -> None:
    """End the process if what Python is about to ignore, in the middle of a destructor or a callback, is a signal."""
    if isinstance(lost.exc_value, Stopped):
        _say_stopped(lost.exc_value)
        os._exit(lost.exc_value.exit)
    sys.__unraisablehook__(lost)


def _say_stopped(stop: Stopped) -> None:
    write_stderr(f"acme: {'interrupted' if stop.exit is ExitCode.INTERRUPTED else 'terminated'}\n")


def _stopper(code: ExitCode) -> Any:
    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # while what is half-done is taken back
        raise Stopped(code)

    return stop


def _outcome(arguments: list[str]) -> int:
    """Run, report any error on stderr, and return the exit code."""
    try:
        code = _invoke(arguments)
    except BrokenPipeError:
        return ExitCode.PIPE_CLOSED
    except Stopped as stop:
        _say_stopped(stop)
        return stop.exit
    except AcmeError as error:
        _report(error, arguments)
        return error.exit
    except Exception as error:  # noqa: BLE001  whatever it is, people get one line and a code, not a traceback
        _report(_bug(error), arguments)
        return ExitCode.BUG
    return code


def _invoke(arguments: list[str]) -> int:
    # Only the command that is asked for: building the others takes a tenth of a cached answer's time.
    app = build([arguments[0]] if arguments and arguments[0] in COMMANDS else COMMANDS)
    try:
        code = app(arguments, prog_name="acme", standalone_mode=False)
        sys.stdout.flush()  # of help texts and the like
    except _ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "acme"
        raise UsageError(error.format_message(), f"`{command} --help` shows how") from error
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise OutputError(f"the answer could not be written to stdout: {error.strerror}") from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # Typer's word for a closed pipe is exit code 1
            raise error.__context__ from None
        raise
    return code if isinstance(code, int) else ExitCode.OK


def _bug(error: Exception) -> AcmeError:
    bug = AcmeError(
        f"unexpected {type(error).__name__}: {error}",
        "this is a bug in acme: please report it, with what the same command prints with --debug",
    )
    bug.__cause__ = error
    return bug


def _report(error: AcmeError, arguments: list[str]) -> None:
    """Print an error: one line and perhaps a hint, or one JSON object where the answer would have been JSON."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--debug" in options:
        import traceback

        trace = "".join(traceback.format_exception(error))
        write_stderr("".join(f"{visible(line)}\n" for line in trace.splitlines()))
    if "--json" in options or "--format=json" in options or ("--format", "json") in pairwise(options):
        says = {"code": error.code, "message": error.message, "exit": int(error.exit), "hint": error.hint}
        write_stderr(to_json({"error": says}).decode("utf-8"))
        return
    hint = "" if error.hint is None else f"hint: {visible(error.hint)}\n"
    write_stderr(f"acme: {visible(error.message)}\n{hint}")
