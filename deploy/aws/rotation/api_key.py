"""The first API key. No server has to be told: the file service stores the key that it finds when it starts."""

from converto_core.access import new_key_text, split_key_text
from deploy.aws.rotation.errors import RotationFailed


class FirstApiKey:
    """Keeps the key's id, so that the file service replaces the old key, which ends with the first new process."""

    def next_value(self, current: str) -> str:
        """A new secret part. The id is new only where there was no key yet."""
        made = new_key_text()
        old, new = split_key_text(current), split_key_text(made)
        return f"cvt_{old[0]}_{new[1]}" if old and new else made

    def set(self, current: str, pending: str) -> None:
        """Nothing to do."""

    def test(self, pending: str) -> None:
        """Check the form; the file service would start without a key that is malformed."""
        if split_key_text(pending) is None:
            raise RotationFailed("the new value is not an API key of the form cvt_<id>_<secret>")
