"""Reads a JSON Web Key Set (RFC 7517) and keeps the keys that may sign access tokens here."""

from collections.abc import Iterator

import jwt
import msgspec
from jwt.algorithms import AllowedPublicKeys, ECAlgorithm, RSAAlgorithm

from converto_core.errors import IssuerUnavailable

RS256, ES256 = "RS256", "ES256"
ALGORITHMS = frozenset({RS256, ES256})
"""Asymmetric only: with a symmetric algorithm, whoever can check a token can forge one."""
MAX_KEYS = 64
RSA_BITS = range(2048, 8193)
"""Weaker keys can be broken; larger ones only cost time."""


class SigningKey(msgspec.Struct, frozen=True):
    """A public key and the one algorithm that it verifies."""

    kid: str | None
    algorithm: str
    key: AllowedPublicKeys


class SigningKeys:
    """The usable keys of one key set."""

    def __init__(self, keys: tuple[SigningKey, ...]) -> None:
        self._keys = keys

    @property
    def kids(self) -> list[str]:
        """The ids of all keys, sorted."""
        return sorted(key.kid or "" for key in self._keys)

    def find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """Return the key of a token; without `kid`, the only key of this algorithm."""
        fitting = [key for key in self._keys if key.algorithm == algorithm and kid in (None, key.kid)]
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None


def parse_key_set(untrusted_json: bytes) -> SigningKeys:
    """Return the usable keys; raises `IssuerUnavailable` if the text is no key set or none of its keys is usable."""
    try:
        entries = msgspec.json.decode(untrusted_json, type=_KeySet).keys
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IssuerUnavailable(detail=f"the issuer's key set is unreadable: {error}") from error
    keys = tuple(_usable(entries[:MAX_KEYS]))
    if not keys:
        raise IssuerUnavailable(detail="the issuer's key set has no public RSA or P-256 key for signatures")
    return SigningKeys(keys)


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


class _Jwk(msgspec.Struct, frozen=True):
    """The fields of a JSON Web Key that decide about its use, and those of an RSA or elliptic curve key."""

    kty: str
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    d: str | None = None
    n: str | None = None
    e: str | None = None
    crv: str | None = None
    x: str | None = None
    y: str | None = None


def _usable(entries: list[msgspec.Raw]) -> Iterator[SigningKey]:
    """Skip what is not understood, as RFC 7517 section 5 asks."""
    for entry in entries:
        try:
            jwk = msgspec.json.decode(entry, type=_Jwk)
            key = _key_of(jwk) if _is_for_signatures(jwk) else None
        except (msgspec.DecodeError, UnicodeError, RecursionError, jwt.PyJWTError, ValueError, TypeError):
            continue
        if key is not None:
            yield key


def _is_for_signatures(jwk: _Jwk) -> bool:
    """Reject keys for encryption, and private keys, which are public now and prove nothing."""
    return jwk.use in (None, "sig") and (jwk.key_ops is None or "verify" in jwk.key_ops) and jwk.d is None


def _key_of(jwk: _Jwk) -> SigningKey | None:
    if jwk.kty == "RSA" and jwk.alg in (None, RS256):
        rsa = RSAAlgorithm.from_jwk({"kty": "RSA", "n": jwk.n, "e": jwk.e})
        return SigningKey(jwk.kid, RS256, rsa) if rsa.key_size in RSA_BITS else None  # type: ignore[arg-type]
    if jwk.kty == "EC" and jwk.crv == "P-256" and jwk.alg in (None, ES256):
        curve = ECAlgorithm.from_jwk({"kty": "EC", "crv": "P-256", "x": jwk.x, "y": jwk.y})
        return SigningKey(jwk.kid, ES256, curve)  # type: ignore[arg-type]
    return None
