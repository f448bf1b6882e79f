"""`acme mock`: the bundled data API, run from here."""

import sys
from functools import wraps
from typing import Any

from acme_cli.errors import OutputError, UsageError
from mock_server import command
from mock_server.errors import MockServerError


@wraps(command.mock)
def mock(**options: Any) -> None:
    """Run it. Raises UsageError for what its user can put right."""
    if sys.__stdout__ is None:
        raise OutputError("stdout is closed, so nobody could read the server's URL", "redirect it to a file")
    try:
        command.mock(**options)
    except MockServerError as error:
        raise UsageError(str(error)) from error
