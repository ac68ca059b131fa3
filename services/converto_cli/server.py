"""Finds the server and the key: options, environment, a local stack, the user's configuration file.

A key found together with a server's URL is never sent to another server.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import platformdirs

from converto_cli.context import Context


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The server's URL, the key, and where they were found."""

    url: str
    api_key: str | None
    found_in: str
    is_laptop_stack: bool = False


class NoServerConfigured(Exception):
    """No server is configured."""

    def __init__(self) -> None:
        super().__init__(
            "No server is configured. Start one here with `make up`, set CONVERTO_SERVER_URL and CONVERTO_API_KEY, "
            f"or put server_url and api_key into {config_file()}"
        )


def find_server(context: Context, *, environment: Mapping[str, str] = os.environ) -> Address:
    """The first configured server; raises `NoServerConfigured`, or ValueError for a malformed file."""
    api_key = context.api_key or environment.get("CONVERTO_API_KEY") or None
    if context.server:
        return Address(url=context.server, api_key=api_key, found_in="--server")
    if url := environment.get("CONVERTO_SERVER_URL"):
        return Address(url=url, api_key=api_key, found_in="CONVERTO_SERVER_URL")
    for address in _addresses_on_disk(environment):
        return msgspec.structs.replace(address, api_key=api_key or address.api_key)
    raise NoServerConfigured


def config_file() -> Path:
    """The user's configuration file, which may not exist."""
    return Path(platformdirs.user_config_dir("converto")) / "config.toml"


def state_folder() -> Path:
    """The folder that remembers unfinished uploads."""
    return Path(platformdirs.user_state_dir("converto")) / "unfinished"


def _addresses_on_disk(environment: Mapping[str, str]) -> Iterator[Address]:
    for path in _stack_files(environment):
        if path.is_file():
            yield _address_of_stack(path)
    if config_file().is_file():
        yield _address_of_config(config_file())


def _stack_files(environment: Mapping[str, str]) -> Iterator[Path]:
    if home := environment.get("CONVERTO_HOME"):
        yield Path(home) / "stack.json"
    here = Path.cwd()
    for folder in (here, *here.parents):
        yield folder / ".converto" / "stack.json"


def _address_of_stack(path: Path) -> Address:
    class StackFile(msgspec.Struct):
        url: str
        api_key: str

    try:
        stack = msgspec.json.decode(path.read_bytes(), type=StackFile)
    except (msgspec.MsgspecError, OSError) as error:
        raise ValueError(f"{path} is not a valid stack file: {error}") from error
    return Address(url=stack.url, api_key=stack.api_key, found_in=str(path), is_laptop_stack=True)


def _address_of_config(path: Path) -> Address:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    url, api_key = content.get("server_url"), content.get("api_key")
    if not isinstance(url, str) or not isinstance(api_key, str | None):
        raise ValueError(f'{path} must contain server_url = "http://…" and api_key = "cvt_…"')
    return Address(url=url, api_key=api_key, found_in=str(path))
