"""Owners that claims of access tokens stand for: no collisions, no hostile object keys (M17)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converto_core.caller import MAX_OWNER_LENGTH, TOKEN_OWNER_PREFIX, owner_of_claim
from converto_core.object_keys import SourceKey, parse_key, source_key

FILE_ID = "019b2c5e-6f0a-7c31-9d52-3f1c5c0d7a10"


@pytest.mark.parametrize(
    ("claim", "owner"),
    [
        ("0a1b2c3d-0000-4000-8000-123456789abc", "oidc.0a1b2c3d-0000-4000-8000-123456789abc"),
        ("anna@example.com", "oidc.anna=40example.com"),
        ("auth0|42", "oidc.auth0=7C42"),
        ("system:serviceaccount:ns:name", "oidc.system=3Aserviceaccount=3Ans=3Aname"),
        ("local", "oidc.local"),
        ("oidc.anna", "oidc.oidc.anna"),
        ("..", "oidc..."),
        ("../../other", "oidc...=2F..=2Fother"),
        ("a/in/b", "oidc.a=2Fin=2Fb"),
        ("a=2Fb", "oidc.a=3D2Fb"),
        (" ", "oidc.=20"),
        ("\x00", "oidc.=00"),
        ("é", "oidc.=C3=A9"),
        ("e\u0301", "oidc.e=CC=81"),
    ],
)
def test_claim_becomes_a_harmless_owner(claim: str, owner: str) -> None:
    assert owner_of_claim(claim) == owner


@pytest.mark.parametrize(
    "claim", ["", None, 7, True, ["anna"], {"a": 1}, "a" * MAX_OWNER_LENGTH, "/" * 70, "\ud800"], ids=repr
)
def test_other_values_name_no_owner(claim: object) -> None:
    assert owner_of_claim(claim) is None


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_different_claims_have_different_owners(one: str, other: str) -> None:
    owners = owner_of_claim(one), owner_of_claim(other)

    assert None in owners or (owners[0] == owners[1]) == (one == other)


@given(st.text(min_size=1, max_size=60))
def test_owner_is_one_part_of_an_object_key(claim: str) -> None:
    owner = owner_of_claim(claim)
    if owner is None:
        return

    key = source_key(owner, FILE_ID, 3)

    assert owner.startswith(TOKEN_OWNER_PREFIX)
    assert key.isascii() and key.isprintable() and len(key.split("/")) == 6
    assert not set(owner) & set("/:\\%?#&+ *'\"<>|")
    assert parse_key(key) == SourceKey(owner=owner, file_id=FILE_ID, version=3)
