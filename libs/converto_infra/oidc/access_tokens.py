"""Verifies JSON Web Tokens (RFC 7519) of one issuer, and says which rule an invalid one breaks."""

from typing import Any

import jwt

from converto_core.errors import InvalidToken
from converto_infra.oidc.key_cache import KeyCache
from converto_infra.oidc.signing_keys import ALGORITHMS, SigningKey

MAX_TOKEN_BYTES = 16 * 1024
"""Tokens with many roles have about 8 KB; a larger one is refused before it is decoded."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Values of the header `typ` for access tokens (RFC 9068). Others, such as `logout+jwt`, have other uses."""
LATEST_S = 253_402_300_799
"""The last second of the year 9999, in seconds since the epoch."""

_FAULTS: tuple[tuple[type[jwt.PyJWTError], str, str], ...] = (
    (jwt.ExpiredSignatureError, "token_expired", "The access token has expired; get a new one from its issuer"),
    (jwt.ImmatureSignatureError, "token_not_yet_valid", "The access token is not valid yet; check the clocks"),
    (jwt.InvalidIssuerError, "token_issuer_wrong", "The access token comes from another issuer"),
    (jwt.InvalidSignatureError, "token_signature_invalid", "The signature of the access token is wrong"),
    (jwt.InvalidAlgorithmError, "token_algorithm_not_allowed", "Access tokens must be signed with RS256 or ES256"),
    (jwt.PyJWTError, "token_malformed", "The access token is not a well-formed JSON Web Token"),
)
_UNVERIFIED = {"verify_signature": False}


class AccessTokens:
    """Checks signature, issuer, audience, type and times of tokens."""

    def __init__(self, keys: KeyCache, *, issuer: str, audiences: frozenset[str], leeway_s: float) -> None:
        """`leeway_s` is how far the clocks of issuer and service may differ."""
        self._keys, self._issuer, self._audiences = keys, issuer, audiences
        self.leeway_s = leeway_s

    async def claims(self, untrusted_token: str) -> dict[str, Any]:
        """Return the verified claims; raises `InvalidToken`, or `IssuerUnavailable` if there is no key to check with.

        Issuer and algorithm are looked at before the signature: only tokens that claim to come from the issuer can
        lead to a fetch of its keys.
        """
        header, unverified = _parts(untrusted_token)
        algorithm = _algorithm(header)
        if unverified.get("iss") != self._issuer:
            raise _missing("iss") if unverified.get("iss") is None else _invalid(jwt.InvalidIssuerError())
        key = await self._keys.key(header.get("kid"), algorithm)
        claims = self._verified(untrusted_token, key)
        _check_type(claims)
        self._check_audience(claims)
        return claims

    def _verified(self, untrusted_token: str, key: SigningKey) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                untrusted_token,
                key.key,
                algorithms=[key.algorithm],  # decided by the key, never by the token
                issuer=self._issuer,
                leeway=self.leeway_s,
                options={"require": ["exp", "iss"], "verify_aud": False},
            )
        except jwt.MissingRequiredClaimError as error:
            raise _missing(error.claim) from error
        except jwt.PyJWTError as error:
            raise _invalid(error) from error
        if not all(_is_number(claims[name]) for name in ("exp", "nbf", "iat") if name in claims):
            raise InvalidToken("The times of the access token must be numbers", code="token_malformed")
        return claims

    def _check_audience(self, claims: dict[str, Any]) -> None:
        """Amazon Cognito's access tokens have no `aud`; there, `client_id` takes its place.

        Nowhere else: elsewhere `client_id` does not say which service a token is meant for.
        """
        audience = claims.get("aud")
        if audience is None and claims.get("token_use") == "access":
            audience = claims.get("client_id")
        if not audience:
            raise _missing("aud")
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or not any(isinstance(one, str) and one in self._audiences for one in named):
            raise InvalidToken("The access token is meant for another audience", code="token_audience_wrong")


def expiry_ms(claims: dict[str, Any]) -> int:
    """Return when verified claims expire, in milliseconds since the epoch, UTC."""
    return int(min(claims["exp"], LATEST_S) * 1000)


def _parts(untrusted_token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims before anything is verified."""
    if len(untrusted_token) > MAX_TOKEN_BYTES:
        raise InvalidToken(f"The access token is larger than {MAX_TOKEN_BYTES} bytes", code="token_malformed")
    if not untrusted_token.isascii() or untrusted_token.count(".") != 2:
        raise InvalidToken(
            "The bearer credential is neither a converto API key (cvt_…) nor a JSON Web Token", code="token_malformed"
        )
    try:
        whole = jwt.decode_complete(untrusted_token, options=_UNVERIFIED)  # type: ignore[arg-type]
    except jwt.PyJWTError as error:
        raise _invalid(error) from error
    return whole["header"], whole["payload"]


def _algorithm(header: dict[str, Any]) -> str:
    """Return the algorithm; raises `InvalidToken` unless the header is one that this service fully understands."""
    if "crit" in header or "b64" in header:
        raise InvalidToken("The access token requires an extension that is not supported", code="token_malformed")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _invalid(jwt.InvalidAlgorithmError())
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise _wrong_type()
    return algorithm


def _check_type(claims: dict[str, Any]) -> None:
    """Refuse ID and refresh tokens: Amazon Cognito marks them by `token_use`, Keycloak by `typ`."""
    if claims.get("token_use", "access") != "access" or claims.get("typ", "Bearer") not in ("Bearer", "JWT"):
        raise _wrong_type()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_type() -> InvalidToken:
    return InvalidToken("This is not an access token; ID and refresh tokens are refused", code="token_type_not_allowed")


def _missing(claim: str) -> InvalidToken:
    return InvalidToken(f"The access token lacks the claim {claim}", code="token_claim_missing")


def _invalid(error: jwt.PyJWTError) -> InvalidToken:
    code, message = next((code, text) for kind, code, text in _FAULTS if isinstance(error, kind))
    return InvalidToken(message, code=code)
