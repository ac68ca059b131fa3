"""Faults with the passwords of sources: kept too long, given to others, or shown."""

from tests.mutants.mutant import Mutant

PASSWORDS = (
    Mutant(
        name="the end of a conversion keeps its sealed password",
        file="libs/converto_core/conversion/change.py",
        old='"updated_at": now_ms, "sealed_password": None}',
        new='"updated_at": now_ms}',
        harm="passwords stay in the database and its backups for weeks",
        tests=("tests/unit/core/test_passwords.py",),
    ),
    Mutant(
        name="results of sources with a password are cached",
        file="libs/converto_core/conversion/cache_key.py",
        old="if conversion.has_password:",
        new="if False:",
        harm="whoever has the encrypted file gets its contents without the password",
        tests=("tests/unit/core/test_passwords.py",),
    ),
    Mutant(
        name="a seal is not bound to its record",
        file="libs/converto_infra/sealing/seals.py",
        old="filled, record_id.encode())",
        new='filled, b"")',
        harm="a sealed password works in another record, or no password opens at all",
        tests=("tests/unit/infra/sealing/test_seals.py",),
    ),
    Mutant(
        name="every step of a plan gets the password",
        file="services/conversion_worker/job/plan.py",
        old="password=None if products else password",
        new="password=password",
        harm="programs see a password that they do not need",
        tests=("tests/unit/conversion_worker/job/test_passwords.py",),
    ),
    Mutant(
        name="a retry without its password is accepted",
        file="services/file_service/conversions/submission.py",
        old="if conversion.has_password and sealed_password is None:",
        new="if False:",
        harm="a retry fails in the worker although the user could have been told",
        tests=("tests/unit/file_service/conversions/test_passwords.py",),
    ),
    Mutant(
        name="the password does not count for an idempotency key",
        file="services/file_service/conversions/passwords.py",
        old='return {"content": content, "password": self._seals.fingerprint(password, owner=owner)}',
        new="return content",
        harm="a request with the right password is answered with the failure of the wrong one",
        tests=("tests/unit/file_service/conversions/test_passwords.py",),
    ),
)
