"""A text that must not be shown, such as the password of a source."""

from typing import NoReturn


class Secret:
    """Holds a text that `repr`, `str`, encoders and `pickle` do not show; only `reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be written anywhere")
