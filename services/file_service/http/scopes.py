"""The scope that each route needs: reading or writing by its method, unless the route says otherwise."""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from converto_core.caller import Caller, Scope
from converto_core.errors import Forbidden, InsufficientScope

READING: Final = frozenset({"GET", "HEAD"})
_OPTION: Final = "scope"


def needs(scope: Scope | None) -> dict[str, Any]:
    """Return the `opt` of a route or router whose scope does not follow from its method; None: any valid caller."""
    return {_OPTION: scope}


def scope_of(handler: BaseRouteHandler, method: str) -> Scope | None:
    """Return the scope that a request with this method needs."""
    if _OPTION in handler.opt:
        scope: Scope | None = handler.opt[_OPTION]
        return scope
    return Scope.READ if method in READING else Scope.WRITE


def require_scope(connection: ASGIConnection[Any, Caller, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of all routes; raises `Forbidden` or, for a token, `InsufficientScope`."""
    method = connection.scope["method"]  # type: ignore[typeddict-item]
    scope = scope_of(handler, method)
    if method == "OPTIONS" or scope is None or scope in connection.user.scopes:
        return
    name = f"{connection.app.state.wiring.settings.jwt_scope_prefix}{scope}"
    error = _refusal(connection.user, name)
    error.required_scope = name
    raise error


def _refusal(caller: Caller, name: str) -> Forbidden:
    if caller.has_token:
        return InsufficientScope(f"The access token lacks the scope {name}; request it from the issuer")
    return Forbidden(
        "This requires an administrator's API key, such as the one set as CONVERTO_BOOTSTRAP_API_KEY on the server"
    )
