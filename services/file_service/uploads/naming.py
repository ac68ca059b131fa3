"""Validates file names and ids from clients before anything is stored."""

import unicodedata
import uuid

from file_service.http.problem_details import FieldError, InvalidFields, MalformedId

_BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode characters that change the text direction, which can make `fdp.exe` look like `exe.pdf`."""


def clean_filename(untrusted_name: str) -> str:
    """Return the last part of a path without control characters; raises `InvalidFields` if nothing is left."""
    last = untrusted_name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in last if unicodedata.category(one) != "Cc" and one not in _BIDI_CONTROLS)
    name = unicodedata.normalize("NFC", kept).strip()
    if name.strip(".") == "":
        raise InvalidFields([FieldError("/filename", "must be a file name, such as deck.pptx")])
    return name


def parse_id(untrusted_id: str) -> str:
    """Return the id in lower case; raises `MalformedId` unless it is a UUID."""
    if not is_id(untrusted_id):
        raise MalformedId("The id in the path is not a UUID; use the id from the response that created the resource")
    return untrusted_id.lower()


def is_id(untrusted_id: str) -> bool:
    """Return whether this is a UUID in its plain 36-character form."""
    try:
        return str(uuid.UUID(untrusted_id)) == untrusted_id.lower()
    except ValueError:
        return False
