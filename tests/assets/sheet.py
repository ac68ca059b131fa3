"""An Excel workbook with one sheet: twelve months of numbers, sums by formula, number formats."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.assets.packages import XML, office_open_xml, relations

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_NAMES = f'xmlns="{_MAIN}" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PLAIN, _HEAD, _MONEY, _SHARE, _SUM = range(5)


def sheet() -> bytes:
    """The workbook as an .xlsx; each formula has its result cached, as Excel stores it."""
    return office_open_xml(
        main="xl/workbook.xml",
        title="Bakery accounts",
        types={
            "xl/workbook.xml": f"{_KIND}.sheet.main+xml",
            "xl/worksheets/sheet1.xml": f"{_KIND}.worksheet+xml",
            "xl/styles.xml": f"{_KIND}.styles+xml",
        },
        parts={
            "xl/workbook.xml": f'{XML}<workbook {_NAMES}><sheets><sheet name="Accounts" sheetId="1" r:id="rId1"/>'
            "</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": relations([("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml")]),
            "xl/worksheets/sheet1.xml": _worksheet(),
            "xl/styles.xml": _styles(),
        },
    )


def _worksheet() -> str:
    incomes = [1840 + 137 * (number * number % 11) for number in range(12)]
    costs = [1210 + 83 * (number * 7 % 9) for number in range(12)]
    rows = [_row(1, [_words(name, _HEAD) for name in ("Month", "Bread sold", "Flour and rent", "Left over", "Share")])]
    for number, (month, income, cost) in enumerate(zip(_MONTHS, incomes, costs, strict=True), 2):
        left = income - cost
        cells = [_words(month, _PLAIN), _number(income, _MONEY), _number(cost, _MONEY)]
        cells.append(_formula(f"B{number}-C{number}", left, _MONEY))
        cells.append(_formula(f"D{number}/B{number}", left / income, _SHARE))
        rows.append(_row(number, cells))
    total, spent = sum(incomes), sum(costs)
    sums = [_words("Year", _SUM), _formula("SUM(B2:B13)", total, _SUM), _formula("SUM(C2:C13)", spent, _SUM)]
    rows.append(_row(14, [*sums, _formula("SUM(D2:D13)", total - spent, _SUM)]))
    columns = "".join(f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>' for n, width in _WIDTHS)
    return f"{XML}<worksheet {_NAMES}><cols>{columns}</cols><sheetData>{''.join(rows)}</sheetData></worksheet>"


_WIDTHS = ((1, 12), (2, 16), (3, 18), (4, 14), (5, 12))


def _row(number: int, cells: Sequence[str]) -> str:
    placed = "".join(cell.replace("{at}", f"{column}{number}") for column, cell in zip("ABCDE", cells, strict=False))
    return f'<row r="{number}" ht="18" customHeight="1">{placed}</row>'


def _words(text: str, style: int) -> str:
    return f'<c r="{{at}}" s="{style}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'


def _number(value: float, style: int) -> str:
    return f'<c r="{{at}}" s="{style}"><v>{value}</v></c>'


def _formula(formula: str, result: float, style: int) -> str:
    return f'<c r="{{at}}" s="{style}"><f>{formula}</f><v>{result}</v></c>'


def _styles() -> str:
    fonts = "".join(
        f'<font>{bold}<sz val="11"/><color rgb="{colour}"/><name val="Calibri"/></font>'
        for bold, colour in (("", "FF1F2A44"), ("<b/>", "FFFFFFFF"), ("<b/>", "FF1F2A44"))
    )
    fills = '<fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    fills += "".join(
        f'<fill><patternFill patternType="solid"><fgColor rgb="{colour}"/></patternFill></fill>'
        for colour in ("FF2A6F8F", "FFE6ECF3")
    )
    line = '<border><left/><right/><top/><bottom style="thin"><color rgb="FFC3CAD6"/></bottom><diagonal/></border>'
    looks = ((0, 0, 0), (0, 1, 2), (164, 0, 0), (10, 0, 0), (164, 2, 3))
    formats = "".join(
        f'<xf numFmtId="{form}" fontId="{font}" fillId="{fill}" borderId="1" xfId="0" applyNumberFormat="1" '
        'applyFont="1" applyFill="1" applyBorder="1"/>'
        for form, font, fill in looks
    )
    return (
        f'{XML}<styleSheet xmlns="{_MAIN}"><numFmts count="1"><numFmt numFmtId="164" '
        f'formatCode="#,##0.00\\ &quot;€&quot;"/></numFmts><fonts count="3">{fonts}</fonts>'
        f'<fills count="4">{fills}</fills>'
        '<borders count="2"><border><left/><right/><top/><bottom/><diagonal/></border>'
        f'{line}</borders><cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="5">{formats}</cellXfs></styleSheet>'
    )
