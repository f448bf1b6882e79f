"""Every setting in force, where it came from, and how its text is read."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from acme_cli.errors import UsageError

from .values import (
    format_duration,
    format_size,
    parse_api_url,
    parse_cache_size,
    parse_duration,
    parse_format,
    parse_path,
    parse_switch,
    parse_timeout,
    parse_token,
    shown,
    whole_number,
)

_LARGEST_FILE = 2**20


class Setting(msgspec.Struct, frozen=True):
    """One setting: how it is named everywhere, how its text is read, and what holds without it."""

    name: str
    help: str
    parse: Callable[[str], Any]
    """Text of any source to value. Raises ValueError, whose message completes `SOURCE: `."""
    default: str | None = None
    """Text that `parse` reads; None: nothing, or what `unset` says."""
    unset: str = "none"
    """What holds when there is no value and no default, in words."""
    kinds: tuple[type, ...] = (str,)
    """What a value may be in the config file; a whole number will do for a float."""
    show: Callable[[Any], str] = str
    """Value to text for people."""
    is_path: bool = False

    @property
    def option(self) -> str | None:
        """The option; None for the token, which no command line may hold."""
        return None if self.name == "api_token" else "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> str:
        """The environment variable."""
        return _variable(self.name)

    @property
    def default_text(self) -> str:
        """What holds when no source has a value, in words."""
        return self.unset if self.default is None else self.default


_TIME: dict[str, Any] = {"kinds": (str, float), "show": format_duration}

SETTINGS: tuple[Setting, ...] = (
    Setting("api_url", "Base URL of the data API.", parse_api_url),
    Setting("api_token", "Token, sent as Authorization: Bearer.", parse_token),
    Setting("api_token_file", "File that holds the token.", parse_path, is_path=True),
    Setting("timeout", "Time for one attempt of one request.", parse_timeout, "10s", **_TIME),
    Setting("retries", "Further attempts after a failed one, 0 to 10.", whole_number(0, 10), "2", kinds=(int,)),
    Setting("concurrency", "Requests at the same time, 1 to 128.", whole_number(1, 128), "16", kinds=(int,)),
    # A server whose limit is exclusive would send nothing for a limit of 1.
    Setting("page_size", "Rows to ask for at once, 2 to 10000.", whole_number(2, 10_000), "100", kinds=(int,)),
    Setting("ttl", "How long a response counts as fresh.", parse_duration, "10m", **_TIME),
    Setting("max_stale", "How far past its ttl stored data may be used.", parse_duration, "24h", **_TIME),
    Setting(
        "offline", "Never touch the network.", parse_switch, "false", kinds=(bool,), show=lambda on: str(on).lower()
    ),
    Setting(
        "cache_dir", "Folder for stored responses.", parse_path, unset="platform's user cache folder", is_path=True
    ),
    Setting(
        "cache_size_limit",
        "Size that the cache keeps below.",
        parse_cache_size,
        "256 MB",
        kinds=(str, int),
        show=format_size,
    ),
    Setting("format", "Format of the answer; if unset, reports are ndjson but on a terminal.", parse_format, "table"),
)
"""Every setting, in the order in which they are shown."""

_NAMES = {setting.name: setting for setting in SETTINGS}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force. Durations are in seconds, sizes in bytes; paths are absolute.

    `origins` says for every setting where its value came from. The token is in no representation.
    """

    api_url: str | None
    api_token: str | None
    api_token_file: str | None
    timeout: float
    retries: int
    concurrency: int
    page_size: int
    ttl: float
    max_stale: float
    offline: bool
    cache_dir: str
    cache_size_limit: int
    format: str
    origins: Mapping[str, str]

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return fields and values, the token as set or not set; msgspec's own would show it."""
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, _token_state(self) if name == "api_token" else value) for name, value in fields]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class PublicSetting(msgspec.Struct, frozen=True):
    """A setting as it may be shown: `value` for programs, `text` for people."""

    name: str
    value: str | int | float | bool | None
    text: str
    origin: str


def public_view(settings: Settings) -> list[PublicSetting]:
    """Return every setting in force and its origin, the token only as `set` or `not set`."""
    view = []
    for setting in SETTINGS:
        value = _token_state(settings) if setting.name == "api_token" else getattr(settings, setting.name)
        text = "not set" if value is None else setting.show(value)
        view.append(PublicSetting(setting.name, value, text, settings.origins[setting.name]))
    return view


def _token_state(settings: Settings) -> str:
    return "not set" if settings.api_token is None else "set"


class _Given(msgspec.Struct, frozen=True):
    """What one source says about one setting."""

    text: str
    place: str
    """The source, as an error names it."""
    origin: str
    file: str | None = None
    """The file that it stands in: relative paths start from its folder."""


def resolve(options: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Return the settings in force: option, else environment, env file, config file, default.

    `options` has the command line's values by setting name, None for what was not given, and `env_file`. Only the
    values that win are parsed. Raises UsageError, which names the source, for a bad value, an unknown name in a
    file, and a file that cannot be read.
    """
    sources = _sources(options, environ)
    carriers = (source[name] for source in sources for name in ("api_token", "api_token_file") if name in source)
    carrier = next(carriers, None)
    token_file = carrier if carrier is _first(sources, "api_token_file") else None
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        name, given = setting.name, _first(sources, setting.name)
        if given is None or (name == "api_token" and token_file):
            values[name] = None if setting.default is None else setting.parse(setting.default)
            origins[name] = "default"
        else:
            values[name] = _located(given, environ) if setting.is_path else _value(setting.parse, given)
            origins[name] = given.origin

    if token_file:
        file, place = values["api_token_file"], token_file.place
        values["api_token"] = _value(parse_token, _Given(_read(file, place), f"{place}: {file}", ""))
        origins["api_token"] = f"file {file} ({token_file.origin})"
    if values["cache_dir"] is None:
        folder = _user_folder("cache", environ)
        if folder is None:  # a cron job without a home shall have a cache too; it checks who owns the folder
            folder = Path(environ.get("TMPDIR") or "/tmp", f"acme-{os.getuid()}")  # noqa: S108  see above
            origins["cache_dir"] = "default (there is no home folder)"
        values["cache_dir"] = str(folder)
    return Settings(**values, origins=origins)


def _sources(options: Mapping[str, object], environ: Mapping[str, str]) -> list[dict[str, _Given]]:
    """Return what each source says, highest precedence first."""
    sources = [_from_options(options), _from_variables(environ)]
    if env_file := _first(sources, "env_file"):
        sources.append(_from_env_file(_located(env_file, environ), env_file.place))
    if config := _first(sources, "config"):
        sources.append(_from_config(_located(config, environ), config.place))
    elif folder := _user_folder("config", environ):  # without a home none: others could plant one in /tmp
        sources.append(_from_config(str(folder / "config.toml"), None))
    return sources


def _first(sources: list[dict[str, _Given]], name: str) -> _Given | None:
    return next((source[name] for source in sources if name in source), None)


def _value(parse: Callable[[str], Any], given: _Given) -> Any:
    try:
        return parse(given.text)
    except ValueError as exc:
        reason = str(exc)
    raise UsageError(f"{given.place}: {reason}")  # not inside the handler: what it handles may hold a secret


def _variable(name: str) -> str:
    return f"ACME_{name.upper()}"


def _from_options(options: Mapping[str, object]) -> dict[str, _Given]:
    named = {setting.name: setting.option for setting in SETTINGS if setting.option} | {"env_file": "--env-file"}
    return {
        name: _Given(str(value), option, f"option {option}")
        for name, option in named.items()
        if (value := options.get(name)) is not None
    }


def _from_variables(variables: Mapping[str, str | None], file: str | None = None) -> dict[str, _Given]:
    given = {}
    for name in (*_NAMES, "config", "env_file"):
        variable = _variable(name)
        if text := variables.get(variable):
            place = f"{file}: {variable}" if file else variable
            origin = f"file {file} ({variable})" if file else f"environment {variable}"
            given[name] = _Given(text, place, origin, file)
    return given


def _from_env_file(file: str, place: str) -> dict[str, _Given]:
    import io

    # Not dotenv_values: it logs a line that it cannot read, and goes on without it.
    from dotenv.parser import parse_stream

    variables: dict[str, str | None] = {}
    for binding in parse_stream(io.StringIO(_read(file, place))):
        if binding.error:
            raise UsageError(f"{file}: line {binding.original.line} is not NAME=value")
        if binding.key == _variable("env_file"):
            raise UsageError(f"{file}: {binding.key}: an env file cannot name another one")
        if binding.key and binding.key.startswith("ACME_"):
            variables[binding.key] = binding.value
    _check_names(file, variables, [_variable(name) for name in (*_NAMES, "config")])
    return _from_variables(variables, file)


def _from_config(file: str, place: str | None) -> dict[str, _Given]:
    text = _read(file, place)
    if not text:
        return {}
    import tomllib

    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{file}: not valid TOML: nested too deeply") from None
    except ValueError as exc:
        raise UsageError(f"{file}: not valid TOML: {exc}") from None
    _check_names(file, table, _NAMES)
    given = {}
    for name, value in table.items():
        setting = _NAMES[name]
        kind = type(value)  # exact, since a bool is an int
        if kind not in setting.kinds and not (kind is int and float in setting.kinds):
            said = "the value (not shown)" if name == "api_token" else shown(value)
            wanted = " or ".join(_KINDS[kind] for kind in setting.kinds)
            raise UsageError(f"{file}: {name}: {said} is not {wanted}")
        given[name] = _Given(value if isinstance(value, str) else shown(value), f"{file}: {name}", f"file {file}", file)
    return given


_KINDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _check_names(file: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise UsageError for the first name that is not known, with the nearest one that is."""
    for name in names:
        if name not in known:
            from difflib import get_close_matches

            near = {"".join(filter(str.isalnum, other.lower())): other for other in known}
            guess = get_close_matches("".join(filter(str.isalnum, name.lower())), near, n=1)
            hint = f"Did you mean {near[guess[0]]}?" if guess else f"Known: {', '.join(known)}."
            raise UsageError(f"{file}: unknown key {shown(name)}", hint)


def _located(given: _Given, environ: Mapping[str, str]) -> str:
    """Return an absolute path; a relative one starts from the folder of its file, or the working folder."""
    path = Path(_value(parse_path, given))
    if path.parts[:1] == ("~",):
        home = _home(environ)
        if home is None:
            raise UsageError(f"{given.place}: {shown(given.text)}: there is no home folder")
        path = Path(home, *path.parts[1:])
    try:
        return str(Path(given.file or "").parent.joinpath(path).absolute())
    except OSError:
        raise UsageError(f"{given.place}: {shown(given.text)}: the working folder is gone") from None


def _read(file: str, place: str | None) -> str:
    """Return the text of a file that `place` names; without a place it may be missing, and is then empty."""
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        if len(content) <= _LARGEST_FILE:
            return content.decode("utf-8-sig")
        reason = "larger than 1 MiB"
    except UnicodeDecodeError:
        reason = "not text in UTF-8"
    except OSError as exc:
        if place is None and isinstance(exc, FileNotFoundError | NotADirectoryError):
            return ""
        reason = exc.strerror or str(exc)
    raise UsageError(f"{f'{place}: ' if place else ''}{file} cannot be read: {reason}")


def _user_folder(kind: Literal["cache", "config"], environ: Mapping[str, str]) -> Path | None:
    """Return the program's own folder for one user, or None when nothing says where that user's home is."""
    if sys.platform != "linux":
        import platformdirs

        find = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_config_dir
        try:
            folder = Path(find("acme", appauthor=False))
        except RuntimeError:  # how it says that there is no home; older ones return a path that starts with ~
            return None
        return folder if folder.is_absolute() else None
    # The same rule as platformdirs, whose import would add 7 ms to every answer from the cache; a test compares.
    base = environ.get(f"XDG_{kind.upper()}_HOME", "")
    if base.startswith("/"):
        return Path(base, "acme")
    home = _home(environ)
    return None if home is None else Path(home, f".{kind}", "acme")


def _home(environ: Mapping[str, str]) -> str | None:
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # a container may run as a user that nobody listed
            return None
    return home if home.startswith("/") else None
