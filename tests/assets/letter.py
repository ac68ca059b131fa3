"""An OpenDocument letter of one page, with an address, a list and a signature."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.assets.packages import WRITTEN_AT, XML, zipped

_SPACE = "urn:oasis:names:tc:opendocument:xmlns"
_NAMES = " ".join(
    f'xmlns:{name}="{_SPACE}:{kind}:1.0"'
    for name, kind in (
        ("office", "office"),
        ("text", "text"),
        ("style", "style"),
        ("meta", "meta"),
        ("fo", "xsl-fo-compatible"),
        ("svg", "svg-compatible"),
    )
)
_ADDRESS = ("Frau Ægidia Þórsdóttir", "Lindenstraße 17", "10969 Berlin")
_LINES = (
    "Dear Ms Þórsdóttir,",
    "thank you for lending us the three lenses. They arrived dry and whole, and the smallest one already sits in "
    "the lamp of the northern tower. From the ninth of February the light can be seen again from the ferry.",
    "We send back with this letter:",
)
_RETURNED = (
    "the wooden case, with its key",
    "two brass rings (one was bent before)",
    "your drawings, copied for our records",
)
_MIMETYPE = "application/vnd.oasis.opendocument.text"


def letter() -> bytes:
    """The letter as an .odt; its type is first and uncompressed, so that the first bytes identify it."""
    manifest = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{kind}"/>'
        for path, kind in (
            ("/", _MIMETYPE),
            ("content.xml", "text/xml"),
            ("styles.xml", "text/xml"),
            ("meta.xml", "text/xml"),
        )
    )
    parts = {
        "mimetype": _MIMETYPE,
        "content.xml": _content(),
        "styles.xml": _styles(),
        "meta.xml": f'{XML}<office:document-meta {_NAMES} office:version="1.3"><office:meta><meta:creation-date>'
        f"{WRITTEN_AT}</meta:creation-date></office:meta></office:document-meta>",
        "META-INF/manifest.xml": f'{XML}<manifest:manifest xmlns:manifest="{_SPACE}:manifest:1.0" '
        f'manifest:version="1.3">{manifest}</manifest:manifest>',
    }
    return zipped(parts, stored=("mimetype",))


def _content() -> str:
    returned = "".join(f"<text:list-item>{_paragraph(line)}</text:list-item>" for line in _RETURNED)
    body = (
        *(_paragraph(line, "Address") for line in _ADDRESS),
        _paragraph("Hallands Väderö, 15 January 2026", "Date"),
        _paragraph("Your lenses, and our thanks", "Subject"),
        *(_paragraph(line) for line in _LINES),
        f'<text:list text:style-name="Dashes">{returned}</text:list>',
        _paragraph("With kind regards from the island,"),
        _paragraph("Søren Åkesson, keeper of the light", "Signature"),
    )
    dashes = (
        '<text:list-style style:name="Dashes"><text:list-level-style-bullet text:level="1" text:bullet-char="–">'
        '<style:list-level-properties text:space-before="0.5cm" text:min-label-width="0.6cm"/>'
        "</text:list-level-style-bullet></text:list-style>"
    )
    return (
        f'{XML}<office:document-content {_NAMES} office:version="1.3"><office:automatic-styles>{dashes}'
        f"</office:automatic-styles><office:body><office:text>{''.join(body)}</office:text></office:body>"
        "</office:document-content>"
    )


def _paragraph(text: str, style: str = "Body") -> str:
    return f'<text:p text:style-name="{style}">{escape(text)}</text:p>'


def _styles() -> str:
    looks: Sequence[tuple[str, str, str]] = (
        ("Body", 'fo:margin-bottom="0.35cm" fo:line-height="130%"', 'fo:font-size="11pt"'),
        ("Address", 'fo:margin-bottom="0cm"', 'fo:font-size="11pt"'),
        ("Date", 'fo:margin-top="1.6cm" fo:margin-bottom="1.2cm" fo:text-align="end"', 'fo:font-size="11pt"'),
        ("Subject", 'fo:margin-bottom="0.6cm"', 'fo:font-size="14pt" fo:font-weight="bold" fo:color="#2a6f8f"'),
        ("Signature", 'fo:margin-top="1.4cm"', 'fo:font-size="12pt" fo:font-style="italic"'),
    )
    font = '<style:font-face style:name="Serif" svg:font-family="&apos;Liberation Serif&apos;"/>'
    styles = "".join(
        f'<style:style style:name="{name}" style:family="paragraph"><style:paragraph-properties {place}/>'
        f'<style:text-properties style:font-name="Serif" {face}/></style:style>'
        for name, place, face in looks
    )
    page = (
        '<style:page-layout style:name="A4"><style:page-layout-properties fo:page-width="21cm" fo:page-height="29.7cm" '
        'fo:margin-top="2.8cm" fo:margin-bottom="2.5cm" fo:margin-left="2.5cm" fo:margin-right="2.5cm"/>'
        "</style:page-layout>"
    )
    return (
        f'{XML}<office:document-styles {_NAMES} office:version="1.3"><office:font-face-decls>{font}'
        f"</office:font-face-decls><office:styles>{styles}</office:styles><office:automatic-styles>{page}"
        '</office:automatic-styles><office:master-styles><style:master-page style:name="Standard" '
        'style:page-layout-name="A4"/></office:master-styles></office:document-styles>'
    )
