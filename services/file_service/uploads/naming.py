"""Names and ids that come from outside, made safe before anything is stored. It knows no record."""

import unicodedata
import uuid

from file_service.http.problem_details import FieldError, InvalidFields, MalformedId

_DECEIVING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the reading direction, so that `exe.pdf` may look like something else."""


def clean_filename(untrusted_name: str) -> str:
    """The last part of a path without control characters; raises `InvalidFields` when nothing is left."""
    last = untrusted_name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in last if unicodedata.category(one) != "Cc" and one not in _DECEIVING)
    name = unicodedata.normalize("NFC", kept).strip()
    if name.strip(".") == "":
        raise InvalidFields([FieldError("/filename", "must be the name of a file, such as deck.pptx")])
    return name


def parse_id(untrusted_id: str) -> str:
    """The id in its one spelling; raises `MalformedId` for anything but a UUID."""
    if not is_id(untrusted_id):
        raise MalformedId("The id in the address is not a UUID; take it from the answer that created the record")
    return untrusted_id.lower()


def is_id(untrusted_id: str) -> bool:
    """True for the plain 36-character spelling of a UUID."""
    try:
        return str(uuid.UUID(untrusted_id)) == untrusted_id.lower()
    except ValueError:
        return False
