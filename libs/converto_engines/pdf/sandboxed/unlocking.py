"""Writes copies of encrypted PDFs that open without a password. Needs pikepdf.

The request comes over stdin, because every user of a machine sees the arguments of its programs. It has `files`, pairs
of source and copy, and `password`; the result has `unlocked`, whether there is a copy of each.
"""

import sys
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_stdin


def unlock(request: dict[str, Any]) -> dict[str, Any]:
    """Decrypt the files that need the password; the others are left as they are."""
    sys.path[:0] = sys.argv[1:]
    files = request["files"]
    prefixes = [f"File {number} of {len(files)}: " if len(files) > 1 else "" for number in range(1, len(files) + 1)]
    return {
        "unlocked": [
            _unlock(source, copy, request["password"], prefix)
            for (source, copy), prefix in zip(files, prefixes, strict=True)
        ]
    }


def _unlock(source: str, copy: str, password: str, prefix: str) -> bool:
    import pikepdf  # noqa: PLC0415 -- needs sys.path from above

    if not _is_locked(source, prefix):
        return False
    try:
        with pikepdf.open(source, password=password, suppress_warnings=True) as document:
            document.save(copy)
    except pikepdf.PasswordError as error:
        text = "The password does not open it. Check the password and create the conversion again"
        raise Refused("wrong_password", f"{prefix}{text}" if prefix else "") from error
    except pikepdf.PdfError as error:
        text = "The PDF is too damaged to be decrypted. Check that it opens on your computer and upload it again"
        raise Refused("corrupt", f"{prefix}{text}") from error
    return True


def _is_locked(source: str, prefix: str) -> bool:
    """Return whether a file needs a password; a damaged one does not, because its reader says what is wrong."""
    import pikepdf  # noqa: PLC0415 -- as above

    try:
        with pikepdf.open(source, suppress_warnings=True):
            return False
    except pikepdf.PasswordError:
        return True
    except pikepdf.PdfError as error:
        if "encrypt" in str(error) or "security handler" in str(error):
            text = "The PDF is encrypted without a password. Remove the encryption and upload it again"
            raise Refused("unsupported", f"{prefix}{text}") from error
        return False


def main() -> None:
    """Serve one request."""
    serve_stdin(unlock)
