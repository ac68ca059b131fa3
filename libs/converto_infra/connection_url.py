"""The URL of a server: puts a login into it, and finds the file of authorities that it names."""

from pathlib import Path
from urllib.parse import parse_qs, quote


def with_login(url: str, user: str, password: str) -> str:
    """The URL with user and password, percent-encoded; raises `ValueError` when it has a user already."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError("the URL has no scheme")
    if "@" in _authority(rest):
        raise ValueError("the URL names a user already")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def _authority(rest: str) -> str:
    """What stands before the path, the query or the end: the hosts, and the user if there is one."""
    end = min((position for mark in "/?#" if (position := rest.find(mark)) >= 0), default=len(rest))
    return rest[:end]


def missing_authorities(url: str) -> str | None:
    """The file that MongoDB's option `tlsCAFile` names, if there is no such file."""
    named = parse_qs(url.partition("?")[2]).get("tlsCAFile", [])
    return next((file for file in named if not Path(file).is_file()), None)
