"""The one error of the mock server: something that its user can put right."""


class MockServerError(Exception):
    """A bad option, a bad data file or a port that cannot be had; one line that says what, where, and what to do."""
