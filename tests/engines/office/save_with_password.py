"""Saves documents encrypted with LibreOffice; run under the system's Python, to which the package `uno` belongs.

Reads a list of [source, source format, filter, result, password] as JSON from stdin.
"""

import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Any

import uno
from com.sun.star.beans import NamedValue

from converto_engines.office.sandboxed.driver import Office, Refused, _properties

PROGRAM = next(
    folder for folder in ("/usr/lib/libreoffice/program", "/usr/lib64/libreoffice/program") if Path(folder).is_dir()
)


def start(office: Office, profile: str) -> None:
    """Start LibreOffice, which exits once or twice while it prepares a fresh profile."""
    for _ in range(4):
        try:
            office.start(program=PROGRAM, profile=profile, pipe=f"samples-{Path(profile).name}")
        except Refused as refusal:
            if refusal.kind != "start_again":
                raise
            continue
        return
    raise RuntimeError("LibreOffice did not start")


def keys(result: str, password: str) -> dict[str, Any]:
    """Return the properties that make LibreOffice encrypt: each kind of format takes the password in another way."""
    if Path(result).suffix in {".docx", ".pptx", ".xlsx"}:
        return {"EncryptionData": _named({"CryptoType": "Standard", "OOXPassword": password})}
    if Path(result).suffix in {".doc", ".xls"}:
        document_id = secrets.token_bytes(16)
        key = hashlib.md5(16 * (hashlib.md5(password.encode("utf-16-le")).digest()[:5] + document_id)).digest()
        values = {"STD97EncryptionKey": uno.ByteSequence(key), "STD97UniqueID": uno.ByteSequence(document_id)}
        return {"EncryptionData": _named(values)}
    return {"Password": password}


def _named(values: dict[str, Any]) -> Any:
    pairs = tuple(NamedValue(Name=name, Value=value) for name, value in values.items())
    return uno.Any("[]com.sun.star.beans.NamedValue", pairs)


def main() -> None:
    """Save all documents of the list."""
    office = Office()
    start(office, sys.argv[1])
    try:
        for source, source_format, writer, result, password in json.load(sys.stdin):
            office.open(path=source, source_format=source_format, table={}, entries=1000, unpacked_bytes=2**30)
            properties = _properties({"FilterName": writer, "Overwrite": True, **keys(result, password)})
            office._document.storeToURL(uno.systemPathToFileUrl(result), properties)
            office.close()
    finally:
        office.end()


if __name__ == "__main__":
    main()
