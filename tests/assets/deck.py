"""A PowerPoint deck of three slides: a title, a list with shapes, a chart of bars with a picture."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.assets.packages import XML, office_open_xml, relations

_NAMES = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
_KIND = "application/vnd.openxmlformats-officedocument.presentationml"
_MM = 36_000  # English Metric Units in a millimetre
_WIDTH_MM, _HEIGHT_MM = 320, 180
_GROUP = (
    '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr><a:xfrm>'
    '<a:off x="0" y="0"/><a:ext cx="0" cy="0"/><a:chOff x="0" y="0"/><a:chExt cx="0" cy="0"/></a:xfrm></p:grpSpPr>'
)
_INK, _PAPER, _TEAL, _AMBER, _ROSE, _SKY = "1F2A44", "F7F5F0", "2A9D8F", "E9B44C", "D1495B", "4A90B8"
_BARS: Sequence[tuple[str, int, str]] = (
    ("Mon", 34, _SKY), ("Tue", 52, _SKY), ("Wed", 47, _SKY), ("Thu", 78, _AMBER), ("Fri", 61, _SKY),
)  # fmt: skip


def deck(picture_png: bytes) -> bytes:
    """The deck as a .pptx of three 16:9 slides; the picture is shown on the last one."""
    slides = (_title_slide(), _flow_slide(), _chart_slide())
    parts: dict[str, str | bytes] = {
        "ppt/presentation.xml": _presentation(len(slides)),
        "ppt/_rels/presentation.xml.rels": relations(
            [("slideMaster", "slideMasters/slideMaster1.xml"), ("theme", "theme/theme1.xml")]
            + [("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1)]
        ),
        "ppt/slideMasters/slideMaster1.xml": _master(),
        "ppt/slideMasters/_rels/slideMaster1.xml.rels": relations(
            [("slideLayout", "../slideLayouts/slideLayout1.xml"), ("theme", "../theme/theme1.xml")]
        ),
        "ppt/slideLayouts/slideLayout1.xml": _layout(),
        "ppt/slideLayouts/_rels/slideLayout1.xml.rels": relations(
            [("slideMaster", "../slideMasters/slideMaster1.xml")]
        ),
        "ppt/theme/theme1.xml": _theme(),
        "ppt/media/picture.png": picture_png,
    }
    types = {
        "ppt/presentation.xml": f"{_KIND}.presentation.main+xml",
        "ppt/slideMasters/slideMaster1.xml": f"{_KIND}.slideMaster+xml",
        "ppt/slideLayouts/slideLayout1.xml": f"{_KIND}.slideLayout+xml",
        "ppt/theme/theme1.xml": "application/vnd.openxmlformats-officedocument.theme+xml",
    }
    for number, shapes in enumerate(slides, 1):
        name = f"ppt/slides/slide{number}.xml"
        parts[name] = _slide(shapes)
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(
            [("slideLayout", "../slideLayouts/slideLayout1.xml"), ("image", "../media/picture.png")]
        )
        types[name] = f"{_KIND}.slide+xml"
    return office_open_xml(main="ppt/presentation.xml", title="Any file, any format", types=types, parts=parts)


def _title_slide() -> list[str]:
    return [
        _shape("rect", (0, 0, _WIDTH_MM, _HEIGHT_MM), fill=_INK),
        _shape("ellipse", (222, -38, 150, 150), fill=_TEAL),
        _shape("ellipse", (262, 82, 70, 70), fill=_AMBER),
        _text(["Any file,", "any format"], (24, 48, 200, 56), points=54, colour="FFFFFF", is_bold=True),
        _text(["Decks, documents, sheets and pictures"], (24, 112, 220, 14), points=22, colour="D8DEEA"),
    ]


def _flow_slide() -> list[str]:
    stages = (("Upload", _SKY), ("Queue", _AMBER), ("Convert", _ROSE), ("Download", _TEAL))
    shapes = [_text(["The way of one file"], (24, 14, 260, 18), points=34, colour=_INK, is_bold=True)]
    for number, (stage, colour) in enumerate(stages):
        left = 24 + 70 * number
        shapes.append(_shape("roundRect", (left, 44, 56, 30), fill=colour, label=stage))
        if number < 3:
            shapes.append(_shape("rightArrow", (left + 57.5, 54, 11, 10), fill="9AA3B5"))
    points = (
        "• The bytes go straight to the store, never through the service",
        "• A message wakes a worker; the database keeps the truth",
        "• Ein Wort mit Umlauten: Übergröße – und mit Akzent: déjà vu",
        "• Γειά σου · Привет · こんにちは · مرحبا",
    )
    return [*shapes, _text(list(points), (24, 90, 272, 70), points=20, colour=_INK)]


def _chart_slide() -> list[str]:
    shapes = [
        _text(["Conversions this week"], (24, 14, 260, 18), points=34, colour=_INK, is_bold=True),
        _shape("rect", (24, 150, 150, 0.6), fill="9AA3B5"),
        _picture((190, 42, 114, 76)),
        _text(["Thursday was the busiest day."], (190, 124, 114, 12), points=16, colour=_INK),
    ]
    for number, (day, count, colour) in enumerate(_BARS):
        left = 30 + 29 * number
        shapes.append(_shape("rect", (left, 150 - count, 20, count), fill=colour))
        shapes.append(_text([str(count)], (left - 4, 140 - count, 28, 9), points=14, colour=_INK, align="ctr"))
        shapes.append(_text([day], (left - 4, 152, 28, 9), points=14, colour=_INK, align="ctr"))
    return shapes


def _shape(form: str, box_mm: tuple[float, float, float, float], *, fill: str, label: str = "") -> str:
    text = f'<a:p><a:pPr algn="ctr"/>{_run(label, 20, "FFFFFF", True)}</a:p>' if label else "<a:p/>"
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{{id}}" name="{form}"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr>{_place(box_mm)}'
        f'<a:prstGeom prst="{form}"><a:avLst/></a:prstGeom><a:solidFill><a:srgbClr val="{fill}"/></a:solidFill>'
        f'<a:ln><a:noFill/></a:ln></p:spPr><p:txBody><a:bodyPr anchor="ctr"/><a:lstStyle/>{text}</p:txBody></p:sp>'
    )


def _text(
    lines: list[str],
    box_mm: tuple[float, float, float, float],
    *,
    points: int,
    colour: str,
    is_bold: bool = False,
    align: str = "l",
) -> str:
    paragraphs = "".join(f'<a:p><a:pPr algn="{align}"/>{_run(line, points, colour, is_bold)}</a:p>' for line in lines)
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{{id}}" name="text"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr><p:spPr>'
        f'{_place(box_mm)}<a:prstGeom prst="rect"><a:avLst/></a:prstGeom><a:noFill/></p:spPr><p:txBody>'
        f'<a:bodyPr wrap="square" lIns="0" tIns="0" rIns="0" bIns="0"/><a:lstStyle/>{paragraphs}</p:txBody></p:sp>'
    )


def _picture(box_mm: tuple[float, float, float, float]) -> str:
    return (
        '<p:pic><p:nvPicPr><p:cNvPr id="{id}" name="picture" descr="Overlapping discs"/><p:cNvPicPr/><p:nvPr/>'
        '</p:nvPicPr><p:blipFill><a:blip r:embed="rId2"/><a:stretch><a:fillRect/></a:stretch></p:blipFill>'
        f'<p:spPr>{_place(box_mm)}<a:prstGeom prst="rect"><a:avLst/></a:prstGeom></p:spPr></p:pic>'
    )


def _run(line: str, points: int, colour: str, is_bold: bool) -> str:
    return (
        f'<a:r><a:rPr lang="en-GB" sz="{points * 100}" b="{int(is_bold)}"><a:solidFill><a:srgbClr val="{colour}"/>'
        f'</a:solidFill><a:latin typeface="Calibri"/></a:rPr><a:t>{escape(line)}</a:t></a:r>'
    )


def _place(box_mm: tuple[float, float, float, float]) -> str:
    left, top, width, height = (round(length * _MM) for length in box_mm)
    return f'<a:xfrm><a:off x="{left}" y="{top}"/><a:ext cx="{width}" cy="{height}"/></a:xfrm>'


def _slide(shapes: list[str]) -> str:
    numbered = "".join(shape.replace("{id}", str(number)) for number, shape in enumerate(shapes, 2))
    return (
        f"{XML}<p:sld {_NAMES}><p:cSld><p:spTree>{_GROUP}{numbered}</p:spTree></p:cSld>"
        "<p:clrMapOvr><a:masterClrMapping/></p:clrMapOvr></p:sld>"
    )


def _presentation(slide_count: int) -> str:
    slides = "".join(f'<p:sldId id="{255 + number}" r:id="rId{number + 2}"/>' for number in range(1, slide_count + 1))
    return (
        f'{XML}<p:presentation {_NAMES}><p:sldMasterIdLst><p:sldMasterId id="2147483648" r:id="rId1"/>'
        f'</p:sldMasterIdLst><p:sldIdLst>{slides}</p:sldIdLst><p:sldSz cx="{_WIDTH_MM * _MM}" '
        f'cy="{_HEIGHT_MM * _MM}"/><p:notesSz cx="6858000" cy="9144000"/></p:presentation>'
    )


def _master() -> str:
    colours = {"bg1": "lt1", "tx1": "dk1", "bg2": "lt2", "tx2": "dk2", "hlink": "hlink", "folHlink": "folHlink"}
    colours |= {f"accent{number}": f"accent{number}" for number in range(1, 7)}
    mapping = " ".join(f'{name}="{value}"' for name, value in colours.items())
    return (
        f'{XML}<p:sldMaster {_NAMES}><p:cSld><p:bg><p:bgPr><a:solidFill><a:srgbClr val="{_PAPER}"/></a:solidFill>'
        f"<a:effectLst/></p:bgPr></p:bg><p:spTree>{_GROUP}</p:spTree></p:cSld><p:clrMap {mapping}/>"
        '<p:sldLayoutIdLst><p:sldLayoutId id="2147483649" r:id="rId1"/></p:sldLayoutIdLst></p:sldMaster>'
    )


def _layout() -> str:
    return (
        f'{XML}<p:sldLayout {_NAMES} type="blank"><p:cSld name="Blank"><p:spTree>{_GROUP}</p:spTree></p:cSld>'
        "<p:clrMapOvr><a:masterClrMapping/></p:clrMapOvr></p:sldLayout>"
    )


def _theme() -> str:
    named = {"dk1": _INK, "lt1": "FFFFFF", "dk2": "3B4660", "lt2": _PAPER, "accent1": _TEAL, "accent2": _AMBER}
    named |= {"accent3": _ROSE, "accent4": _SKY, "accent5": "6C6FB4", "accent6": "7FB069"}
    named |= {"hlink": _SKY, "folHlink": "6C6FB4"}
    colours = "".join(f'<a:{name}><a:srgbClr val="{value}"/></a:{name}>' for name, value in named.items())
    font = '<a:latin typeface="Calibri"/><a:ea typeface=""/><a:cs typeface=""/>'
    fill = '<a:solidFill><a:schemeClr val="phClr"/></a:solidFill>'
    effect = "<a:effectStyle><a:effectLst/></a:effectStyle>"
    return (
        f'{XML}<a:theme {_NAMES} name="converto"><a:themeElements><a:clrScheme name="converto">{colours}</a:clrScheme>'
        f'<a:fontScheme name="converto"><a:majorFont>{font}</a:majorFont><a:minorFont>{font}</a:minorFont>'
        f'</a:fontScheme><a:fmtScheme name="converto"><a:fillStyleLst>{fill * 3}</a:fillStyleLst><a:lnStyleLst>'
        f"{f'<a:ln>{fill}</a:ln>' * 3}</a:lnStyleLst><a:effectStyleLst>{effect * 3}</a:effectStyleLst>"
        f"<a:bgFillStyleLst>{fill * 3}</a:bgFillStyleLst></a:fmtScheme></a:themeElements></a:theme>"
    )
