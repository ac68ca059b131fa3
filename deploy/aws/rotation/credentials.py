"""User name and password as they stand in a secret, and the two users that take turns."""

import secrets

import msgspec

from deploy.aws.rotation.errors import RotationFailed

PASSWORD_BYTES = 32
FIRST, SECOND = "_a", "_b"


class Credentials(msgspec.Struct, frozen=True):
    """The JSON of a secret; other keys are ignored."""

    username: str
    password: str

    @classmethod
    def from_secret(cls, text: str) -> "Credentials":
        """Read a secret; raises `RotationFailed`."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError:
            raise RotationFailed('the secret is not JSON of the form {"username": …, "password": …}') from None

    def to_secret(self) -> str:
        """The text to store."""
        return msgspec.json.encode(self).decode()

    def with_new_password(self) -> "Credentials":
        """The same user with another password."""
        return Credentials(self.username, new_password())


def other_user(user: str, current: Credentials) -> Credentials:
    """The one of `<user>_a` and `<user>_b` that is not in use, with a new password."""
    return Credentials(user + (SECOND if current.username == user + FIRST else FIRST), new_password())


def new_password() -> str:
    """Hexadecimal, because Amazon MQ refuses some punctuation."""
    return secrets.token_hex(PASSWORD_BYTES)
