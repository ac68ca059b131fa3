"""Tracked changes and comments of an open text document."""

from collections.abc import Iterator
from typing import Any

import uno

from converto_engines.office.sandboxed.filters import TEXT
from converto_engines.runtime.sandboxed.protocol import Refused

_COMMANDS = {"accepted": ".uno:AcceptAllTrackedChanges", "rejected": ".uno:RejectAllTrackedChanges"}
_COMMENT = "com.sun.star.text.textfield.Annotation"


def review(document: Any, dispatcher: Any, changes: str) -> dict[str, bool]:
    """Show, accept or reject all tracked changes; returns whether there were `changes`.

    Accepting and rejecting needs a document that was not opened for reading only.
    """
    if not document.supportsService(TEXT):
        return {"changes": False}
    has_changes = _has_changes(document)
    if has_changes:
        _settle(document, dispatcher, changes)
    return {"changes": has_changes}


def _settle(document: Any, dispatcher: Any, changes: str) -> None:
    if changes == "shown":
        document.ShowChanges = True
        return
    if len(document.RedlineProtectionKey):
        document.RedlineProtectionKey = uno.ByteSequence(b"")  # a result is a copy, which nobody protects
    frame = document.getCurrentController().getFrame()
    dispatcher.executeDispatch(frame, _COMMANDS[changes], "", 0, ())
    if _has_changes(document):
        raise Refused("bad_options", "The tracked changes of this document cannot be accepted or rejected")


def _has_changes(document: Any) -> bool:
    return bool(document.getRedlines().createEnumeration().hasMoreElements())


def remove_comments(document: Any) -> int:
    """Remove all comments and return how many there were."""
    comments = list(_comments(document))
    for comment in comments:
        comment.getAnchor().getText().removeTextContent(comment)
    return len(comments)


def _comments(document: Any) -> Iterator[Any]:
    fields = document.getTextFields().createEnumeration()
    while fields.hasMoreElements():
        field = fields.nextElement()
        if field.supportsService(_COMMENT):
            yield field
