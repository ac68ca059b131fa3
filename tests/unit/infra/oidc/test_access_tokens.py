"""Which rule an invalid access token breaks; each known attack on JSON Web Tokens fails (M17)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from converto_core.errors import InvalidToken
from converto_infra.oidc.access_tokens import MAX_TOKEN_BYTES, AccessTokens, expiry_ms
from converto_infra.oidc.key_cache import UNKNOWN_KEY
from converto_infra.oidc.signing_keys import SigningKey, parse_key_set
from tests.issuer import AUDIENCE, REMOVED, Key, claims

ISSUER = "https://issuer.example"
LEEWAY_S = 30.0
RSA, EC = Key("k1"), Key("e1", "ES256")


def b64(content: Any) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def token(key: Key = RSA, *, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    return key.sign(claims(ISSUER, **changed), **(headers or {}))


def forged(header: dict[str, Any], signature: Callable[[bytes], bytes] = lambda _: b"", **changed: Any) -> str:
    """A token with any header, signed by whatever an attacker has."""
    signed = f"{b64(header)}.{b64(claims(ISSUER, **changed))}"
    return f"{signed}.{b64(signature(signed.encode()))}"


def signed_by_issuer(signed: bytes) -> bytes:
    return RSAAlgorithm(RSAAlgorithm.SHA256).sign(signed, RSA.private)  # type: ignore[arg-type]


def now() -> int:
    """Read when a token is made, not when the file is collected: a long run would outlive the tokens."""
    return int(time.time())


class FixedKeys:
    """The two keys of the issuer, without a fetch."""

    keys = parse_key_set(json.dumps({"keys": [RSA.jwk(), EC.jwk()]}).encode())

    async def key(self, kid: str | None, algorithm: str) -> SigningKey:
        """Return the key or refuse the token, as `KeyCache` does after a fetch."""
        if (known := self.keys.find(kid, algorithm)) is None:
            raise InvalidToken(code=UNKNOWN_KEY)
        return known


TOKENS = AccessTokens(
    FixedKeys(),  # type: ignore[arg-type]
    issuer=ISSUER,
    audiences=frozenset({AUDIENCE, "other"}),
    leeway_s=LEEWAY_S,
)


async def fault(text: str) -> str:
    """The code of the broken rule; its text never quotes the token."""
    with pytest.raises(InvalidToken) as caught:
        await TOKENS.claims(text)
    assert caught.value.http_status == 401
    assert not any(part and part in str(caught.value) for part in text.split(".") if len(part) > 8)
    return caught.value.stable_code


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
async def test_valid_token_shows_its_claims(key: Key) -> None:
    assert (await TOKENS.claims(token(key)))["sub"] == "anna"


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", "AT+JWT", REMOVED])
async def test_types_of_access_tokens_are_accepted(kind: Any) -> None:
    header = {"alg": "RS256", "kid": "k1"} | ({} if kind is REMOVED else {"typ": kind})

    assert await TOKENS.claims(forged(header, signed_by_issuer))


BROKEN: list[tuple[Callable[[], str], str]] = [
    (lambda: token(exp=now() - 60), "token_expired"),
    (lambda: token(exp=0), "token_expired"),
    (lambda: token(exp=-1e18), "token_expired"),
    (lambda: token(nbf=now() + 600), "token_not_yet_valid"),
    (lambda: token(iat=now() + 600), "token_not_yet_valid"),
    (lambda: token(iss="https://evil.example"), "token_issuer_wrong"),
    (lambda: token(iss=ISSUER + "/"), "token_issuer_wrong"),
    (lambda: token(iss=ISSUER.upper()), "token_issuer_wrong"),
    (lambda: token(iss=REMOVED), "token_claim_missing"),
    (lambda: token(exp=REMOVED), "token_claim_missing"),
    (lambda: token(exp=None), "token_claim_missing"),
    (lambda: token(exp="tomorrow"), "token_malformed"),
    (lambda: token(exp=str(now() + 60)), "token_malformed"),
    (lambda: token(exp=True), "token_expired"),
    (lambda: token(exp=[now() + 60]), "token_malformed"),
    (lambda: token(exp=float("inf")), "token_malformed"),
    (lambda: token(exp=float("nan")), "token_malformed"),
    (lambda: token(nbf="now"), "token_malformed"),
    (lambda: token(iat=str(now())), "token_malformed"),
    (lambda: token(aud="somebody-else"), "token_audience_wrong"),
    (lambda: token(aud=["a", "b"]), "token_audience_wrong"),
    (lambda: token(aud={"a": AUDIENCE}), "token_audience_wrong"),
    (lambda: token(aud=[[AUDIENCE]]), "token_audience_wrong"),
    (lambda: token(aud=7), "token_audience_wrong"),
    (lambda: token(aud=""), "token_claim_missing"),
    (lambda: token(aud=[]), "token_claim_missing"),
    (lambda: token(aud=REMOVED), "token_claim_missing"),
    (lambda: token(aud=AUDIENCE.upper()), "token_audience_wrong"),
    (lambda: token(sub=7), "token_malformed"),
    (lambda: token(Key("k9", number=1)), "token_key_unknown"),
    (lambda: token(Key("k1", number=1)), "token_signature_invalid"),
    (lambda: token(Key("k1", "ES256")), "token_key_unknown"),
    (lambda: token(token_use="id"), "token_type_not_allowed"),
    (lambda: token(typ="ID"), "token_type_not_allowed"),
    (lambda: token(typ="Refresh"), "token_type_not_allowed"),
    (lambda: token(typ="DPoP"), "token_type_not_allowed"),
    (lambda: token(headers={"typ": "logout+jwt"}), "token_type_not_allowed"),
    (lambda: token(headers={"crit": ["exp"], "exp": 1}), "token_malformed"),
    (lambda: token(headers={"crit": []}), "token_malformed"),
    (lambda: token(headers={"crit": ["b64"], "b64": True}), "token_malformed"),
    (lambda: token() + "x", "token_malformed"),
    (lambda: token() + ".x", "token_malformed"),
    (lambda: "a.b.c", "token_malformed"),
    (lambda: "..", "token_malformed"),
    (lambda: "hunter2", "token_malformed"),
    (lambda: "ey.é.x", "token_malformed"),
    (lambda: f"{b64([])}.{b64({})}.", "token_malformed"),
    (lambda: f"{b64({'alg': 'RS256'})}.{b64([])}.", "token_malformed"),
    (lambda: f"{b64({'alg': 'RS256'})}.{b64(b'{')}.", "token_malformed"),
    (lambda: f"{b64(b'[' * 9000)}.{b64({})}.", "token_malformed"),
    (lambda: f"{b64({'alg': 'RS256', 'kid': 7})}.{b64({})}.", "token_malformed"),
    (lambda: f"{b64({'alg': ['RS256']})}.{b64({'iss': ISSUER})}.", "token_algorithm_not_allowed"),
    (lambda: f"{b64({'alg': 'RS256', 'typ': 7})}.{b64({'iss': ISSUER})}.", "token_type_not_allowed"),
    (lambda: f"{b64({})}.{b64({'iss': ISSUER})}.", "token_algorithm_not_allowed"),
    (lambda: f"{b64({'alg': 'RS256', 'kid': 'k1'})}.{b64({'iss': {}})}.", "token_issuer_wrong"),
    (lambda: "a" * (MAX_TOKEN_BYTES + 1), "token_malformed"),
]


@pytest.mark.parametrize(("make", "code"), BROKEN, ids=range(len(BROKEN)))
async def test_broken_rule_is_named(make: Callable[[], str], code: str) -> None:
    assert await fault(make()) == code


async def test_missing_claim_is_named() -> None:
    with pytest.raises(InvalidToken, match="lacks the claim exp"):
        await TOKENS.claims(token(exp=REMOVED))


@pytest.mark.parametrize(
    "extension",
    [{"crit": ["b64"], "b64": True}, {"crit": ["b64"], "b64": False}, {"b64": True}, {"crit": ["exp"], "exp": 1}],
)
async def test_extensions_are_refused_even_when_well_signed(extension: dict[str, Any]) -> None:
    assert await fault(forged({"alg": "RS256", "kid": "k1", **extension}, signed_by_issuer)) == "token_malformed"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_unsigned_token_is_refused(algorithm: str) -> None:
    assert await fault(forged({"alg": algorithm, "kid": "k1"})) == "token_algorithm_not_allowed"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
async def test_public_key_is_no_shared_secret(algorithm: str, form: str) -> None:
    public = RSA.private.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(RSA.jwk()).encode(),
    }[form]

    def sign(signed: bytes) -> bytes:
        return hmac.new(secret, signed, getattr(hashlib, f"sha{algorithm[2:]}")).digest()

    assert await fault(forged({"alg": algorithm, "kid": "k1"}, sign)) == "token_algorithm_not_allowed"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_other_algorithms_of_the_key_are_refused(algorithm: str) -> None:
    text = jwt.encode(claims(ISSUER), RSA.private, algorithm=algorithm, headers={"kid": "k1"})

    assert await fault(text) == "token_algorithm_not_allowed"


async def test_keys_that_the_token_brings_are_ignored() -> None:
    evil = Key("evil", number=1)
    for header in (
        {"jwk": evil.jwk()},
        {"jku": "https://evil.example"},
        {"x5u": "https://evil.example"},
        {"x5c": ["A"]},
    ):
        assert await fault(token(evil, headers=header)) == "token_key_unknown"
        assert await fault(token(Key("k1", number=1), headers=header)) == "token_signature_invalid"


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1", "\x00", "k1\n", "", "é" * 500, "$ne"])
async def test_exotic_key_ids_are_unknown(kid: str) -> None:
    assert await fault(token(Key(kid))) == "token_key_unknown"


async def test_token_without_key_id_fits_a_single_key() -> None:
    assert await TOKENS.claims(token(headers={"kid": REMOVED}))


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\xff" * 64])
async def test_trivial_curve_signatures_are_refused(signature: bytes) -> None:
    text = forged({"alg": "ES256", "kid": "e1"}, lambda _: signature)

    assert await fault(text) == "token_signature_invalid"


@pytest.mark.parametrize(
    ("claim", "offset_s", "is_valid"),
    [
        ("exp", -LEEWAY_S + 20, True),
        ("exp", -LEEWAY_S - 1, False),
        ("nbf", LEEWAY_S - 5, True),
        ("iat", LEEWAY_S - 5, True),
        ("nbf", LEEWAY_S + 600, False),
        ("exp", 60.5, True),
        ("exp", 1e300, True),
    ],
)
async def test_clocks_may_differ_by_the_leeway(claim: str, offset_s: float, is_valid: bool) -> None:
    text = token(**{claim: now() + offset_s})
    if is_valid:
        assert await TOKENS.claims(text)
    else:
        assert await fault(text) in {"token_expired", "token_not_yet_valid"}


@pytest.mark.parametrize("audience", [AUDIENCE, "other", [AUDIENCE, "third"], ["account", "other"]])
async def test_one_of_the_audiences_is_enough(audience: Any) -> None:
    assert await TOKENS.claims(token(aud=audience))


async def test_client_id_is_the_audience_at_cognito_only() -> None:
    cognito = {"aud": REMOVED, "token_use": "access", "client_id": AUDIENCE}

    assert await TOKENS.claims(token(**cognito))
    assert await fault(token(**{**cognito, "client_id": "other-client"})) == "token_audience_wrong"
    assert await fault(token(**{**cognito, "client_id": REMOVED})) == "token_claim_missing"
    assert await fault(token(**{**cognito, "token_use": REMOVED})) == "token_claim_missing"
    assert await fault(token(**{**cognito, "aud": "elsewhere"})) == "token_audience_wrong"


def test_expiry_fits_a_date() -> None:
    assert expiry_ms({"exp": 1_790_000_000.5}) == 1_790_000_000_500
    assert expiry_ms({"exp": 1e300}) == 253_402_300_799_000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["RS256", "k1", ISSUER, AUDIENCE, "é", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "b64", "iss", "aud", "exp", "nbf", "iat", "sub", "token_use", "scope"]
)


async def assert_invalid(text: str) -> None:
    await fault(text)


@settings(max_examples=60)
@given(header=st.dictionaries(NAMES, JSON), changed=st.dictionaries(NAMES, JSON), signature=st.binary(max_size=64))
async def test_any_header_and_claims_are_an_invalid_token(
    header: dict[str, Any], changed: dict[str, Any], signature: bytes
) -> None:
    await assert_invalid(
        f"{b64({'alg': 'RS256', 'kid': 'k1', **header})}.{b64({**claims(ISSUER), **changed})}.{b64(signature)}"
    )


@settings(max_examples=60)
@given(st.text(max_size=60) | st.from_regex(r"[\w=-]{0,40}\.[\w=-]{0,40}\.[\w=-]{0,40}", fullmatch=True))
async def test_any_text_is_an_invalid_token(text: str) -> None:
    await assert_invalid(text)


@settings(max_examples=60)
@given(position=st.integers(0), replacement=st.sampled_from("ABCxyz09-_=.~ é\x00"))
async def test_any_changed_character_makes_a_token_invalid(position: int, replacement: str) -> None:
    text = token(EC)
    position %= len(text)
    if text[position] != replacement:
        await assert_invalid(text[:position] + replacement + text[position + 1 :])


@settings(max_examples=60)
@given(changed=st.dictionaries(NAMES, JSON))
async def test_signed_nonsense_is_accepted_only_if_valid(changed: dict[str, Any]) -> None:
    """An issuer may sign anything; what passes has the right issuer, audience and a time in the future."""
    if not isinstance(changed.get("iss", ""), str):
        return  # PyJWT signs no such token
    try:
        accepted = await TOKENS.claims(token(EC, **changed))
    except InvalidToken:
        return
    assert accepted["iss"] == ISSUER
    assert AUDIENCE in accepted["aud"]
    assert expiry_ms(accepted) > (now() - LEEWAY_S) * 1000
