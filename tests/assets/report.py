"""A Word report of two pages: headings, body text, a table, and six scripts."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.assets.packages import XML, office_open_xml, relations

_NAMES = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_KIND = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_ROWS: Sequence[tuple[str, ...]] = (
    ("Harbour", "Ships", "Tonnes", "Change"),
    ("Rotterdam", "29,476", "438 million", "+1.2 %"),
    ("Αθήνα – Πειραιάς", "18,204", "57 million", "+3.4 %"),
    ("Владивосток", "11,930", "31 million", "−0.8 %"),
    ("神戸", "26,118", "92 million", "+0.5 %"),
    ("بورسعيد", "20,457", "88 million", "+2.9 %"),
)
_OPENING = (
    "Every number in this report is invented; the report itself is real. It has headings that a table of contents "
    "could pick up, paragraphs that wrap, a table whose first row is a header, and a page break before the second "
    "chapter. If it still looks right as a PDF, then fonts, spacing and tables have survived."
)
_SCRIPTS = (
    ("Greek", "Η θάλασσα ήταν ήρεμη όλο το πρωί."),
    ("Russian", "Утром море было совершенно спокойно."),
    ("Japanese", "朝の海はとても静かだった。"),
    ("Chinese", "早晨的大海非常平静。"),
    ("Hindi", "सुबह समुद्र बिल्कुल शांत था।"),
    ("Polish", "Rano morze było zupełnie spokojne; gżegżółka śpiewała."),
)
_CLOSING = (
    "The crane on the eastern quay was out of service for nine days in March. Ships waited for four hours on average, "
    "one hour longer than the year before; the new timetable, in force since June, has brought that back to three."
)


def report() -> bytes:
    """The report as a .docx of two A4 pages."""
    body = [
        _paragraph("Harbour report", "Title"),
        _paragraph("1  What came and went", "Heading1"),
        _paragraph(_OPENING),
        _table(),
        _paragraph("Table 1: calls of the last year, one line per harbour.", "Caption"),
        _paragraph(_CLOSING),
        '<w:p><w:r><w:br w:type="page"/></w:r></w:p>',
        _paragraph("2  The same morning in six scripts", "Heading1"),
        *(piece for name, line in _SCRIPTS for piece in (_paragraph(name, "Heading2"), _paragraph(line))),
        _paragraph(_CLOSING),
    ]
    page = (
        '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1418" w:right="1418" w:bottom="1418" w:left="1418" '
        'w:header="709" w:footer="709" w:gutter="0"/></w:sectPr>'
    )
    document = f"{XML}<w:document {_NAMES}><w:body>{''.join(body)}{page}</w:body></w:document>"
    return office_open_xml(
        main="word/document.xml",
        title="Harbour report",
        types={"word/document.xml": f"{_KIND}.document.main+xml", "word/styles.xml": f"{_KIND}.styles+xml"},
        parts={
            "word/document.xml": document,
            "word/_rels/document.xml.rels": relations([("styles", "styles.xml")]),
            "word/styles.xml": _styles(),
        },
    )


def _paragraph(text: str, style: str = "Normal") -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{escape(text)}</w:t></w:r></w:p>'


def _table() -> str:
    widths = (3200, 1700, 2300, 1700)
    grid = "".join(f'<w:gridCol w:w="{width}"/>' for width in widths)
    sides = "".join(f'<w:{side} w:val="single" w:sz="4" w:color="C3CAD6"/>' for side in ("top", "bottom", "insideH"))
    rows = "".join(_table_row(row, widths, is_header=number == 0) for number, row in enumerate(_ROWS))
    return (
        '<w:tbl><w:tblPr><w:tblW w:w="8900" w:type="dxa"/>'
        f"<w:tblBorders>{sides}</w:tblBorders></w:tblPr><w:tblGrid>{grid}</w:tblGrid>{rows}</w:tbl>"
    )


def _table_row(row: Sequence[str], widths: Sequence[int], *, is_header: bool) -> str:
    shade = '<w:shd w:val="clear" w:fill="E6ECF3"/>' if is_header else ""
    bold = "<w:rPr><w:b/></w:rPr>" if is_header else ""
    cells = "".join(
        f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/>{shade}</w:tcPr><w:p><w:pPr><w:spacing w:before="60" '
        f'w:after="60"/><w:jc w:val="{"left" if number == 0 else "right"}"/></w:pPr><w:r>{bold}'
        f"<w:t>{escape(cell)}</w:t></w:r></w:p></w:tc>"
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"<w:tr>{'<w:trPr><w:tblHeader/></w:trPr>' if is_header else ''}{cells}</w:tr>"


def _styles() -> str:
    base = (
        '<w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:cs="Calibri"/>'
        '<w:sz w:val="22"/><w:lang w:val="en-GB"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr>'
        '<w:spacing w:after="160" w:line="288" w:lineRule="auto"/></w:pPr></w:pPrDefault></w:docDefaults>'
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>'
    )
    looks = (
        ("Title", "Title", "", 52, "1F2A44"),
        ("Heading1", "heading 1", '<w:outlineLvl w:val="0"/>', 32, "2A6F8F"),
        ("Heading2", "heading 2", '<w:outlineLvl w:val="1"/>', 25, "2A6F8F"),
        ("Caption", "caption", "", 18, "6B7588"),
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/><w:basedOn w:val="Normal"/>'
        f'<w:next w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="200" w:after="100"/>{level}</w:pPr>'
        f'<w:rPr>{"" if key == "Caption" else "<w:b/>"}<w:color w:val="{colour}"/><w:sz w:val="{half_points}"/></w:rPr>'
        "</w:style>"
        for key, name, level, half_points, colour in looks
    )
    return f"{XML}<w:styles {_NAMES}>{base}{styles}</w:styles>"
