"""acme: a customer's popular purchases, from the shop's data API."""


def __getattr__(name: str) -> str:
    """Return the installed version as ``__version__``; looking it up costs a few ms, so nobody pays unasked."""
    if name == "__version__":
        from importlib.metadata import version

        return version("acme-cli")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
