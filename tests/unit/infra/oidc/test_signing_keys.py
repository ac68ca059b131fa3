"""Which keys of a key set may sign access tokens (M17)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from converto_core.errors import IssuerUnavailable
from converto_infra.oidc.signing_keys import MAX_KEYS, SigningKeys, parse_key_set
from tests.issuer import REMOVED, Key, rsa_key

RSA, EC = Key("r"), Key("e", "ES256")


def parse(*jwks: Any) -> SigningKeys:
    return parse_key_set(json.dumps({"keys": jwks}).encode())


def private_jwk() -> dict[str, Any]:
    private = RSAAlgorithm.to_jwk(rsa_key(0), as_dict=True)
    return {**private, "kid": "private", "key_ops": ["verify"]}


def curve_jwk(curve: ec.EllipticCurve) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(ec.generate_private_key(curve).public_key(), as_dict=True), "kid": "curve"}


def test_key_verifies_its_own_algorithm_only() -> None:
    keys = parse(RSA.jwk(), EC.jwk())

    assert keys.kids == ["e", "r"]
    assert keys.find("r", "RS256") and keys.find("e", "ES256")
    assert keys.find("r", "ES256") is None and keys.find("e", "RS256") is None


def test_algorithm_follows_from_the_kind_of_key() -> None:
    keys = parse(RSA.jwk(alg=REMOVED, use=REMOVED), EC.jwk(alg=REMOVED))

    assert keys.find("r", "RS256") and keys.find("e", "ES256")


def test_token_without_kid_fits_a_single_key() -> None:
    assert parse(RSA.jwk(), EC.jwk()).find(None, "RS256")
    assert parse(RSA.jwk(kid=REMOVED)).find(None, "RS256")
    assert parse(RSA.jwk(), Key("r2", number=1).jwk()).find(None, "RS256") is None


UNUSABLE = [
    {"kty": "oct", "k": "c2VjcmV0", "kid": "o", "alg": "HS256"},
    RSA.jwk(alg="RS512"),
    RSA.jwk(alg="PS256"),
    RSA.jwk(alg="HS256"),
    RSA.jwk(use="enc"),
    RSA.jwk(key_ops=["encrypt"]),
    RSA.jwk(n="AQAB"),
    RSA.jwk(n="!!"),
    RSA.jwk(n=""),
    RSA.jwk(n=REMOVED),
    RSA.jwk(e=REMOVED),
    RSA.jwk(e="AA"),
    RSA.jwk(n=7),
    RSA.jwk(kid=7),
    EC.jwk(x="AA"),
    EC.jwk(y=REMOVED),
    EC.jwk(crv="P-384"),
    {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty": "future"},
    {},
    [],
    "text",
    None,
    7,
]


@pytest.mark.parametrize("unusable", UNUSABLE, ids=range(len(UNUSABLE)))
def test_unusable_key_is_skipped(unusable: Any) -> None:
    with pytest.raises(IssuerUnavailable):
        parse(unusable)
    assert parse(unusable, EC.jwk()).kids == ["e"]


def test_weak_key_is_skipped() -> None:
    weak = RSAAlgorithm.to_jwk(rsa_key(9, 1024).public_key(), as_dict=True)

    assert parse({**weak, "kid": "weak"}, EC.jwk()).kids == ["e"]


def test_published_private_key_is_skipped() -> None:
    assert parse(private_jwk(), EC.jwk()).kids == ["e"]


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_other_curves_are_skipped(curve: ec.EllipticCurve) -> None:
    assert parse(curve_jwk(curve), EC.jwk()).kids == ["e"]


def test_key_set_is_read_up_to_a_limit() -> None:
    keys = parse(*(EC.jwk(kid=f"{number:03}") for number in range(MAX_KEYS + 10)))

    assert len(keys.kids) == MAX_KEYS


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.sampled_from([b'{"keys": []}', b'{"keys": {}}', b'{"keys": [1, {"kty": []}]}']))
def test_any_bytes_are_a_key_set_or_unavailable(body: bytes) -> None:
    with pytest.raises(IssuerUnavailable):
        parse_key_set(body)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d", "x5c"]),
        st.sampled_from(["RSA", "EC", "P-256", "AQAB", "", "=", "é", "A" * 5000])
        | st.integers()
        | st.none()
        | st.lists(st.sampled_from(["verify", ""])),
    ),
    st.sampled_from([RSA, EC]),
)
def test_spoiled_key_never_breaks_the_others(spoiled: dict[str, Any], key: Key) -> None:
    assert "e" in parse({**key.jwk(kid="spoiled"), **spoiled}, EC.jwk()).kids
