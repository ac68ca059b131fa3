"""The header `WWW-Authenticate` of a refused request (RFC 6750 section 3)."""

from converto_core.errors import Forbidden, Unauthorized

_QUOTABLE = frozenset(map(chr, range(0x20, 0x7F))) - {'"', "\\"}


def challenge_of(error: Unauthorized | Forbidden) -> str:
    """Return what was wrong with the credentials; a request without any gets the scheme only."""
    if isinstance(error, Forbidden):
        scope = {"scope": error.required_scope} if error.required_scope else {}
        return _bearer(error="insufficient_scope", error_description=error.public_message, **scope)
    return _bearer() if error.is_missing else _bearer(error="invalid_token", error_description=error.public_message)


def _bearer(**attributes: str) -> str:
    quoted = (f'{name}="{_quotable(value)}"' for name, value in {"realm": "converto", **attributes}.items())
    return "Bearer " + ", ".join(quoted)


def _quotable(text: str) -> str:
    return "".join(character if character in _QUOTABLE else "." for character in text)
