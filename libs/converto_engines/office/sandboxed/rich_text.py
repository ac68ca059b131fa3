"""Counts the visible letters of a Rich Text file, without control words. Standard library only."""

import re

_TOKEN = re.compile(r"\\([a-z]+)(-?\d+)? ?|\\'[0-9a-f]{2}|\\([^a-z])|([{}])|([^\\{}\r\n]+)", re.IGNORECASE)
_HIDDEN_GROUPS = frozenset({
    "fonttbl", "colortbl", "stylesheet", "info", "pict", "listtable", "listoverridetable", "header", "footer",
    "headerl", "headerr", "footerl", "footerr", "themedata", "datastore", "fldinst", "generator", "objdata",
})  # fmt: skip
_LETTERS = frozenset({"emdash", "endash", "bullet", "lquote", "rquote", "ldblquote", "rdblquote", "u"})


def characters_of(text: str) -> int:
    """Count the visible letters (non-ASCII ones may count twice); raises `ValueError` for an incomplete file."""
    if not text.startswith("{\\rtf"):
        raise ValueError("not a Rich Text file")
    count = 0
    hidden: list[bool] = []  # one entry per open group
    for token in _TOKEN.finditer(text):
        word, symbol, brace, letters = token[1], token[3], token[4], token[5]
        if brace == "{":
            hidden.append(bool(hidden) and hidden[-1])
        elif brace == "}":
            hidden.pop()
            if not hidden:
                return count
        elif hidden and (word in _HIDDEN_GROUPS or symbol == "*"):
            hidden[-1] = True
        elif hidden and not hidden[-1]:
            count += _visible(token, letters)
    raise ValueError("a group of the Rich Text is not closed")


def _visible(token: "re.Match[str]", letters: str | None) -> int:
    if letters is not None:
        return sum(map(len, letters.split()))
    return int(token[1] in _LETTERS) if token[1] is not None else 1
