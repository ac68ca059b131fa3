"""Takes the passwords of sources out of requests, before anything logs, stores or plans with the options."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from converto_core.secret import Secret
from converto_engines.planner import PASSWORD, PASSWORD_CHARACTERS, InvalidOptions
from converto_infra.sealing.seals import Seals
from file_service.http.schemas.conversions import FormFields, NewConversion, Retry

Request = TypeVar("Request", NewConversion, FormFields)


class Passwords:
    """Keeps passwords apart from requests; records get them sealed."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals

    def taken_from(self, request: Request) -> tuple[Request, Secret | None]:
        """Return the request without its password, and the password.

        Raises `InvalidOptions`, which does not show the value, and `PasswordsNotAccepted` without a sealing key.
        """
        options, password = without_password(request.options)
        if password is None:
            return request, None
        self._seals.check()
        return msgspec.structs.replace(request, options=options), password

    def of_retry(self, request: Retry) -> Secret | None:
        """Return the password of a retry; raises the same errors."""
        password = _secret(request.password, "/password")
        if password is not None:
            self._seals.check()
        return password

    def sealed(self, password: Secret | None, conversion_id: str) -> str | None:
        """Return the password as the record of this conversion may hold it."""
        return None if password is None else self._seals.seal(password, record_id=conversion_id)

    def identity(self, content: Any, password: Secret | None, *, owner: str) -> Any:
        """Return what identifies a repetition of a request: its content, and a keyed hash of its password."""
        if password is None:
            return content
        return {"content": content, "password": self._seals.fingerprint(password, owner=owner)}


def without_password(untrusted_options: Mapping[str, Any]) -> tuple[dict[str, Any], Secret | None]:
    """Return the other options, and the password; raises `InvalidOptions` for one that no file can have."""
    options = dict(untrusted_options)
    untrusted_password = options.pop(PASSWORD, None)
    return options, _secret(untrusted_password, f"/options/{PASSWORD}")


def _secret(untrusted_password: object, pointer: str) -> Secret | None:
    if untrusted_password is None:
        return None
    if (
        isinstance(untrusted_password, str)
        and 1 <= len(untrusted_password) <= PASSWORD_CHARACTERS
        and "\0" not in untrusted_password
    ):
        return Secret(untrusted_password)
    raise InvalidOptions([(pointer, f"{PASSWORD}: must be text of 1 to {PASSWORD_CHARACTERS} characters")])
