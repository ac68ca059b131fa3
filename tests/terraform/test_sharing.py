"""Tests of one account run in one process, all others wherever there is room."""

from deploy.local.home import REPOSITORY
from tests.terraform.sharing import ACCOUNTS, account_of


def test_tests_of_an_account_stay_together() -> None:
    roles = account_of("tests/terraform/policies/test_roles.py::test_role[worker]")

    assert roles == account_of("tests/terraform/policies/test_bucket.py::test_changed_url_is_refused")
    assert roles != account_of("tests/terraform/test_apply.py::test_care_is_taken")


def test_other_tests_are_spread() -> None:
    tests = [f"tests/terraform/test_modules.py::test_module[{name}]" for name in ("kms", "network")]

    assert account_of(tests[0]) != account_of(tests[1])


def test_each_account_has_tests() -> None:
    assert [place for place in ACCOUNTS if not (REPOSITORY / place).exists()] == []
