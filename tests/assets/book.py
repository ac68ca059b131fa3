"""A small EPUB 3 book: a cover, three linked chapters, one drawing, a two-level table of contents."""

from xml.sax.saxutils import escape

from tests.assets.drawing import picture_files, pictures
from tests.assets.packages import WRITTEN_AT, XML, zipped

_TITLE = "The Keeper's Year"
_CHAPTERS = (
    (
        "winter",
        "Winter",
        "<p>In January nobody comes. The ferry lies in its harbour, and the lamp is lit at half past three.</p>"
        '<h2 id="ice">Ice on the gallery</h2><p>It has to be knocked off <em>before</em> sunset; '
        'see <a href="summer.xhtml#paint">what is done in summer</a>.</p>',
    ),
    (
        "spring",
        "Spring",
        "<p>The eiders are back, and with them the first letter from Berlin&#160;&#8212; four months old.</p>"
        '<p><img src="../images/drawing.png" alt="Three overlapping discs"/></p>'
        "<table><tr><th>Bird</th><th>First seen</th></tr><tr><td>Eider</td><td>2 March</td></tr>"
        "<tr><td>Lapwing</td><td>9 March</td></tr></table>",
    ),
    (
        "summer",
        "Summer",
        '<h2 id="paint">Paint</h2><p>White for the tower, red for the gallery. Þórsdóttir sends two new lenses: '
        "灯台 stands on the box.</p><ul><li>scrape</li><li>wash</li><li>paint, twice</li></ul>",
    ),
)
_NAMESPACES = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'


def book() -> bytes:
    """The book as an .epub; its type is first and uncompressed, so that the first bytes identify it."""
    chapters: dict[str, str | bytes] = {
        f"text/{name}.xhtml": _page(title, f"<h1>{title}</h1>{body}") for name, title, body in _CHAPTERS
    }
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": f'{XML}<container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="package.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles></container>',
        "package.opf": _package(),
        "contents.xhtml": _page("Contents", f'<nav epub:type="toc"><h1>Contents</h1><ol>{_contents()}</ol></nav>'),
        **chapters,
        "images/drawing.png": picture_files.png(pictures.overlapping_discs(240, 160)),
    }
    return zipped(parts, stored=("mimetype",))


def _package() -> str:
    names = [name for name, _, _ in _CHAPTERS]
    listed = "".join(
        f'<item id="{name}" href="text/{name}.xhtml" media-type="application/xhtml+xml"/>' for name in names
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in names)
    return (
        f'{XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:identifier id="id">urn:converto:keeper</dc:identifier>'
        f"<dc:title>{escape(_TITLE)}</dc:title><dc:language>en</dc:language><dc:creator>Søren Åkesson</dc:creator>"
        f'<meta property="dcterms:modified">{WRITTEN_AT}</meta></metadata><manifest>'
        '<item id="nav" href="contents.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        f'<item id="drawing" href="images/drawing.png" media-type="image/png"/>{listed}</manifest>'
        f'<spine><itemref idref="nav"/>{order}</spine></package>'
    )


def _contents() -> str:
    return (
        '<li><a href="text/winter.xhtml">Winter</a><ol><li><a href="text/winter.xhtml#ice">Ice on the gallery</a></li>'
        '</ol></li><li><a href="text/spring.xhtml">Spring</a></li><li><a href="text/summer.xhtml">Summer</a><ol><li>'
        '<a href="text/summer.xhtml#paint">Paint</a></li></ol></li>'
    )


def _page(title: str, body: str) -> str:
    return f"{XML}<!DOCTYPE html><html {_NAMESPACES}><head><title>{title}</title></head><body>{body}</body></html>"
