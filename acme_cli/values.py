"""How the text of a setting or an option becomes a value, and how some values are shown."""

import math
from collections.abc import Callable
from typing import Never
from urllib.parse import urlsplit

FORMATS = ("table", "json", "ndjson", "csv", "tsv", "markdown")
REPORT_FORMATS = (*FORMATS, "html")

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60, "h": 3600, "d": 86400, "": 1}
_SIZE_UNITS: dict[str, int] = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_SWITCH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}
_LONGEST = 100 * 365 * 86400
_LONGEST_TIMEOUT = 86400  # sockets take no more than 24 days
_SMALLEST_CACHE = 64 * 2**10
_LARGEST = 10**15

_DURATION = "a duration such as 500ms, 90s, 10m, 24h or 7d, or a number of seconds"
_SIZE = "a size such as 256MB, 64MiB, or a number of bytes"


def parse_duration(text: str) -> float:
    """Return the seconds that `90s`, `10m`, `24h`, `7d`, `500ms` or a plain number mean: 0 to 100 years.

    Raises ValueError, whose message has the text and what is accepted.
    """
    seconds = _seconds(text)
    if not 0 <= seconds <= _LONGEST:
        _refuse(text, f"{_DURATION}, up to 100 years")
    return seconds


def format_duration(seconds: float) -> str:
    """Return seconds as text that `parse_duration` reads back exactly: 10m, 24h, 2d, 90s, 500ms."""
    for unit, least in (("d", 2 * 86400), ("h", 3600), ("m", 60)):  # 24h is more usual than 1d
        if seconds >= least and seconds % _DURATION_UNITS[unit] == 0:
            return f"{int(seconds // _DURATION_UNITS[unit])}{unit}"
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if seconds < 1 and milliseconds / 1000 == seconds else f"{seconds!r}s"


def parse_size(text: str) -> int:
    """Return the bytes that `256MB`, `256 MB`, `64MiB` or a plain number mean: 0 to 1000 TB.

    Raises ValueError, whose message has the text and what is accepted.
    """
    size = _bytes(text)
    if not 0 <= size <= _LARGEST:
        _refuse(text, f"{_SIZE}, up to 1000 TB")
    return round(size)


def format_size(size: int) -> str:
    """Return bytes as the shortest text that `parse_size` reads back exactly: 256 MB, 64 MiB, 1234567 B."""
    return min((f"{size // factor} {unit}" for unit, factor in _SIZE_UNITS.items() if size % factor == 0), key=len)


def _seconds(text: str) -> float:
    number = text.strip()
    unit = next(unit for unit in _DURATION_UNITS if number.endswith(unit))
    amount = _number(number.removesuffix(unit))
    # Dividing is exact where multiplying by 0.001 is not; adding 0 turns -0 into 0.
    return (amount / 1000 if unit == "ms" else amount * _DURATION_UNITS[unit]) + 0.0


def _bytes(text: str) -> float:
    number = text.strip().lower()
    # Backwards, since every unit ends like the first one.
    unit = next((unit for unit in reversed(_SIZE_UNITS) if number.endswith(unit.lower())), "")
    return _number(number.removesuffix(unit.lower())) * _SIZE_UNITS.get(unit, 1)


def _number(text: str) -> float:
    """Return a plain decimal number, or nan: float() would also take infinity, 1_000 and other scripts' digits."""
    digits = text.strip(" ")
    try:
        return float(digits) if set(digits) <= set("0123456789.eE+-") else math.nan
    except ValueError:
        return math.nan


def shown(value: object) -> str:
    """Return a value as an error shows it: in quotes, its control characters escaped, not too long."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a huge number"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _refuse(value: object, accepted: str) -> Never:
    raise ValueError(f"{shown(value)} is not {accepted}")


def parse_timeout(text: str) -> float:
    """Return the seconds of one attempt, more than 0 and at most a day. Raises ValueError."""
    seconds = _seconds(text)
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        _refuse(text, f"{_DURATION}, above 0 and up to 24h")
    return seconds


def parse_cache_size(text: str) -> int:
    """Return the bytes of a cache, at least 64 KiB. Raises ValueError."""
    size = _bytes(text)
    if not _SMALLEST_CACHE <= size <= _LARGEST:
        _refuse(text, f"{_SIZE}, from 64 KiB to 1000 TB")
    return round(size)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number between the two, or raises ValueError."""

    def parse(text: str) -> int:
        number = _number(text) if text.strip(" ").isdecimal() else math.nan
        if not low <= number <= high:
            _refuse(text, f"a whole number from {low} to {high}")
        return int(number)

    return parse


def parse_switch(text: str) -> bool:
    """Return what true, yes, on, 1 or their opposites mean. Raises ValueError."""
    word = text.strip().lower()
    if word not in _SWITCH:
        _refuse(text, f"one of {', '.join(_SWITCH)}")
    return _SWITCH[word]


def parse_format(text: str) -> str:
    """Return the format if it is one. Raises ValueError."""
    if text not in REPORT_FORMATS:
        _refuse(text, f"one of {', '.join(REPORT_FORMATS)}")
    return text


def parse_path(text: str) -> str:
    """Return the path if it can be one. Raises ValueError."""
    if not text or "\0" in text:
        _refuse(text, "a path")
    return text


def parse_token(text: str) -> str:
    """Return the token without space around it. Raises ValueError, which does not show it."""
    token = text.strip()
    if not token:
        raise ValueError("there is no token in it")
    if not all("!" <= character <= "~" for character in token):
        raise ValueError("a token is made of visible ASCII characters, without spaces (the value is not shown)")
    return token


def parse_api_url(text: str) -> str:
    """Return a base URL with scheme and host in lower case and one slash at the end.

    No message of the ValueError that it raises holds what may be a password or a key.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if "@" in parts.netloc:
        raise ValueError("a user or password in the URL is not accepted (the value is not shown); use a token")
    if "?" in url or "#" in url:
        raise ValueError("a query or fragment in the URL is not accepted (the value is not shown)")
    if not (parts.scheme in {"http", "https"} and _host_is_sound(host) and url.isprintable() and " " not in url):
        accepted = "an http or https URL with a host, such as https://shop.example/api/"
        if any(sign in url for sign in ("@", "%40", "\uff20", "\ufe6b")):  # the last two are wide and small forms of @
            raise ValueError(f"the value (not shown: it may hold a password) is not {accepted}")
        _refuse(text, accepted)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}/"


def _host_is_sound(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return all(0 < len(label) < 64 for label in labels) and all(
        character.isalnum() or character in "-._:" or not character.isascii() for character in host
    )
