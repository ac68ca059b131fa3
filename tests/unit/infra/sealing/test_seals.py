"""Seals open for their record and with their keys only, and tell nothing about what is in them."""

import secrets

import pytest

from converto_core.errors import PasswordsNotAccepted, PasswordUnreadable
from converto_core.secret import Secret
from converto_infra.sealing.seals import Seals

OLD, NEW = b"o" * 32, b"n" * 32
WORD = Secret("Sesam öffne dich!")


@pytest.mark.parametrize("text", ["x", "Sesam öffne dich!", "\N{PEDESTRIAN}" * 255, " spaces ", "a" * 64])
def test_sealed_secret_opens_for_its_record(text: str) -> None:
    seals = Seals([OLD])

    assert seals.open(seals.seal(Secret(text), record_id="c1"), record_id="c1").reveal() == text


def test_seal_does_not_open_for_another_record() -> None:
    seals = Seals([OLD])

    with pytest.raises(PasswordUnreadable):
        seals.open(seals.seal(WORD, record_id="c1"), record_id="c2")


def test_first_key_seals_and_all_open() -> None:
    before, meanwhile, after = Seals([OLD]), Seals([NEW, OLD]), Seals([NEW])
    old, new = before.seal(WORD, record_id="c1"), meanwhile.seal(WORD, record_id="c1")

    assert meanwhile.open(old, record_id="c1").reveal() == WORD.reveal()
    assert after.open(new, record_id="c1").reveal() == WORD.reveal()
    with pytest.raises(PasswordUnreadable, match="CONVERTO_SEALING_KEY"):
        after.open(old, record_id="c1")


@pytest.mark.parametrize("damaged", ["", "1.", "1.AAAA", "1.not base64!", "2.AAAA", "plain"])
def test_damaged_seal_is_refused(damaged: str) -> None:
    with pytest.raises(PasswordUnreadable):
        Seals([OLD]).open(damaged, record_id="c1")


def test_changed_byte_is_noticed() -> None:
    sealed = Seals([OLD]).seal(WORD, record_id="c1")
    changed = sealed[:10] + ("A" if sealed[10] != "A" else "B") + sealed[11:]

    with pytest.raises(PasswordUnreadable):
        Seals([OLD]).open(changed, record_id="c1")


def test_seal_differs_each_time_and_hides_the_length() -> None:
    seals = Seals([OLD])
    made = [seals.seal(Secret(text), record_id="c1") for text in ("x", "x", "a longer password")]

    assert len(set(made)) == 3
    assert len({len(sealed) for sealed in made}) == 1


def test_fingerprint_depends_on_secret_owner_and_key() -> None:
    seals = Seals([OLD])
    known = seals.fingerprint(WORD, owner="ann")

    assert known == Seals([OLD, NEW]).fingerprint(Secret(WORD.reveal()), owner="ann")
    others = [
        seals.fingerprint(Secret("x"), owner="ann"),
        seals.fingerprint(WORD, owner="bob"),
        Seals([NEW]).fingerprint(WORD, owner="ann"),
    ]
    assert known not in others


def test_without_a_key_nothing_is_sealed() -> None:
    for refused in (
        lambda: Seals([]).check(),
        lambda: Seals([]).seal(WORD, record_id="c1"),
        lambda: Seals([]).fingerprint(WORD, owner="ann"),
    ):
        with pytest.raises(PasswordsNotAccepted, match="CONVERTO_SEALING_KEY"):
            refused()
    with pytest.raises(PasswordUnreadable):
        Seals([]).open(Seals([OLD]).seal(WORD, record_id="c1"), record_id="c1")


def test_seals_need_no_particular_key() -> None:
    seals = Seals([secrets.token_bytes(32)])

    assert seals.open(seals.seal(WORD, record_id="c1"), record_id="c1").reveal() == WORD.reveal()
