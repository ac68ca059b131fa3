"""Zips parts into Office Open XML and OpenDocument packages with the same bytes every time."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
WRITTEN_AT = "2026-01-15T09:30:00Z"
_OFFICE_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_ZIP_TIME = (2026, 1, 15, 9, 30, 0)


def office_open_xml(*, main: str, title: str, types: Mapping[str, str], parts: Mapping[str, str | bytes]) -> bytes:
    """A .docx, .pptx or .xlsx; `types` holds the content types of parts other than pictures and relations."""
    overrides = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in types.items())
    content_types = (
        f'{XML}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/><Default Extension="png" ContentType="image/png"/>'
        '<Override PartName="/docProps/core.xml" '
        'ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
        f"{overrides}</Types>"
    )
    root = (
        f'{XML}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE_DOCUMENT}/officeDocument" Target="{main}"/>'
        f'<Relationship Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties" '
        'Target="docProps/core.xml"/></Relationships>'
    )
    core = (
        f'{XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:title>{escape(title)}</dc:title><dc:creator>converto</dc:creator>"
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{WRITTEN_AT}</dcterms:created></cp:coreProperties>'
    )
    head = {"[Content_Types].xml": content_types, "_rels/.rels": root, "docProps/core.xml": core}
    return zipped({**head, **parts})


def relations(targets: Sequence[tuple[str, str]]) -> str:
    """A relationship part: kind and target, numbered rId1, rId2, …"""
    entries = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE_DOCUMENT}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'{XML}<Relationships xmlns="{_PACKAGE}/relationships">{entries}</Relationships>'


def zipped(parts: Mapping[str, str | bytes], stored: Sequence[str] = ()) -> bytes:
    """A zip file with the parts in the given order and a fixed time; parts in `stored` are not compressed."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as package:
        for name, body in parts.items():
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.create_system = 3  # the same on every system that writes it
            entry.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            package.writestr(entry, body)
    return written.getvalue()
