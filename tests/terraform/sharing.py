"""Which tests run in one process: those that read one account, so that it is furnished once.

pytest-xdist's own marker `xdist_group` has no effect with pytest 9.2.
"""

from xdist.scheduler import LoadScopeScheduling

ACCOUNTS = {"tests/terraform/test_apply.py": "production", "tests/terraform/policies/": "policies"}
"""Where the tests of an account are."""


def account_of(test: str) -> str:
    """The account that a test shares with others; the test itself when it shares none."""
    return next((account for place, account in ACCOUNTS.items() if test.startswith(place)), test)


class ByAccount(LoadScopeScheduling):  # type: ignore[misc]
    """Gives the tests of an account to one process, the largest account first."""

    def _split_scope(self, nodeid: str) -> str:
        return account_of(nodeid)
