"""Turns an access token into a caller: a claim names the owner, the granted scopes say what the caller may do."""

from typing import Any

from converto_core.caller import Caller, Scope, owner_of_claim
from converto_core.errors import InvalidToken
from converto_infra.oidc.access_tokens import AccessTokens, expiry_ms


class BearerTokens:
    """The callers of one issuer's tokens."""

    def __init__(self, tokens: AccessTokens, *, owner_claim: str, scope_prefix: str) -> None:
        """Scopes count only with `scope_prefix`, such as `converto/` of an Amazon Cognito resource server."""
        self._tokens, self._owner_claim, self._scope_prefix = tokens, owner_claim, scope_prefix

    async def caller(self, untrusted_token: str) -> Caller:
        """Return the caller; raises `InvalidToken`, or `IssuerUnavailable` if the token cannot be checked."""
        claims = await self._tokens.claims(untrusted_token)
        return Caller(
            owner=self._owner(claims),
            scopes=self._scopes(claims),
            expires_at=expiry_ms(claims),
            leeway_ms=int(self._tokens.leeway_s * 1000),
        )

    def _owner(self, claims: dict[str, Any]) -> str:
        value = claims.get(self._owner_claim)
        if value is None:
            raise InvalidToken(f"The access token lacks the claim {self._owner_claim}", code="token_claim_missing")
        owner = owner_of_claim(value)
        if owner is None:
            raise InvalidToken(
                f"The claim {self._owner_claim} of the access token names no owner: it is empty, too long or no text",
                code="token_owner_invalid",
            )
        return owner

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        """Read `scope` (RFC 8693) or `scp` (Microsoft Entra ID, Okta); both may be a text or a list."""
        granted = claims["scope"] if claims.get("scope") is not None else claims.get("scp")
        names = granted.split(" ") if isinstance(granted, str) else granted if isinstance(granted, list) else []
        return frozenset(scope for scope in Scope if self._scope_prefix + scope in names)
