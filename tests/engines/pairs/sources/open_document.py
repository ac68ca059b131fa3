"""Packs small OpenDocument files of any kind: text, spreadsheet, presentation, graphics."""

from tests.assets.packages import zipped

_SPACE = "urn:oasis:names:tc:opendocument:xmlns"
_KINDS = ("office", "text", "table", "style", "draw", "presentation")
_NAMES = " ".join(
    [
        *(f'xmlns:{kind}="{_SPACE}:{"drawing" if kind == "draw" else kind}:1.0"' for kind in _KINDS),
        f'xmlns:fo="{_SPACE}:xsl-fo-compatible:1.0"',
        f'xmlns:svg="{_SPACE}:svg-compatible:1.0"',
        f'xmlns:of="{_SPACE}:of:1.2"',
    ]
)
_PAGE = (
    '<office:automatic-styles><style:page-layout style:name="P"><style:page-layout-properties fo:page-width="20cm" '
    'fo:page-height="15cm" fo:margin="1cm"/></style:page-layout></office:automatic-styles><office:master-styles>'
    '<style:master-page style:name="Default" style:page-layout-name="P"/></office:master-styles>'
)


def package(kind: str, body: str, styles: str = "") -> bytes:
    """The file; `kind` is the last word of its type, `body` and `styles` are XML for content.xml."""
    mimetype = f"application/vnd.oasis.opendocument.{kind}"
    element = "drawing" if kind == "graphics" else kind
    listed = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{media}"/>'
        for path, media in (("/", mimetype), ("content.xml", "text/xml"), ("styles.xml", "text/xml"))
    )
    content = (
        f'<office:document-content {_NAMES} office:version="1.3"><office:automatic-styles>{styles}'
        f"</office:automatic-styles><office:body><office:{element}>{body}</office:{element}></office:body>"
        "</office:document-content>"
    )
    parts: dict[str, str | bytes] = {
        "mimetype": mimetype,
        "content.xml": content,
        "styles.xml": f'<office:document-styles {_NAMES} office:version="1.3">{_PAGE}</office:document-styles>',
        "META-INF/manifest.xml": (
            f'<manifest:manifest xmlns:manifest="{_SPACE}:manifest:1.0" manifest:version="1.3">{listed}'
            "</manifest:manifest>"
        ),
    }
    return zipped(parts, stored=("mimetype",))
