"""Tables of the LibreOffice filters that read a source format and write a target format."""

# The types that LibreOffice may detect for a source format, and the filter that reads each. Any other type is refused,
# so that a file is not imported as text because its own filter rejected it.
READERS: dict[str, dict[str, str]] = {
    "docx": {
        "writer_MS_Word_2007": "MS Word 2007 XML",
        "writer_MS_Word_2007_VBA": "MS Word 2007 XML VBA",
        "writer_MS_Word_2007_Template": "MS Word 2007 XML Template",
        "writer_OOXML": "Office Open XML Text",
        "writer_OOXML_Text_Template": "Office Open XML Text Template",
    },
    "doc": {
        "writer_MS_Word_97": "MS Word 97",
        "writer_MS_Word_97_Vorlage": "MS Word 97 Vorlage",
        "writer_MS_Word_95": "MS Word 95",
        "writer_MS_Word_95_Vorlage": "MS Word 95 Vorlage",
        "writer_MS_WinWord_60": "MS WinWord 6.0",
    },
    "odt": {"writer8": "writer8", "writer8_template": "writer8_template"},
    "rtf": {"writer_Rich_Text_Format": "Rich Text Format"},
    "txt": {"generic_Text": "Text (encoded)"},
    "pptx": {
        "MS PowerPoint 2007 XML": "Impress MS PowerPoint 2007 XML",
        "MS PowerPoint 2007 XML VBA": "Impress MS PowerPoint 2007 XML VBA",
        "MS PowerPoint 2007 XML Template": "Impress MS PowerPoint 2007 XML Template",
        "MS PowerPoint 2007 XML AutoPlay": "Impress MS PowerPoint 2007 XML AutoPlay",
        "Office Open XML Presentation": "Impress Office Open XML",
        "Office Open XML Presentation Template": "Impress Office Open XML Template",
        "Office Open XML Presentation AutoPlay": "Impress Office Open XML AutoPlay",
    },
    "ppt": {
        "impress_MS_PowerPoint_97": "MS PowerPoint 97",
        "impress_MS_PowerPoint_97_AutoPlay": "MS PowerPoint 97 AutoPlay",
        "impress_MS_PowerPoint_97_Vorlage": "MS PowerPoint 97 Vorlage",
    },
    "odp": {"impress8": "impress8", "impress8_template": "impress8_template"},
    "key": {"impress_AppleKeynote": "Apple Keynote"},
    "odg": {"draw8": "draw8", "draw8_template": "draw8_template"},
    "xlsx": {
        "MS Excel 2007 XML": "Calc MS Excel 2007 XML",
        "MS Excel 2007 VBA XML": "Calc MS Excel 2007 VBA XML",
        "MS Excel 2007 XML Template": "Calc MS Excel 2007 XML Template",
        "Office Open XML Spreadsheet": "Calc Office Open XML",
        "Office Open XML Spreadsheet Template": "Calc Office Open XML Template",
    },
    "xls": {
        "calc_MS_Excel_97": "MS Excel 97",
        "calc_MS_Excel_97_VorlageTemplate": "MS Excel 97 Vorlage/Template",
        "calc_MS_Excel_95": "MS Excel 95",
        "calc_MS_Excel_95_VorlageTemplate": "MS Excel 95 Vorlage/Template",
        "calc_MS_Excel_5095": "MS Excel 5.0/95",
        "calc_MS_Excel_5095_VorlageTemplate": "MS Excel 5.0/95 Vorlage/Template",
        "calc_MS_Excel_40": "MS Excel 4.0",
        "calc_MS_Excel_40_VorlageTemplate": "MS Excel 4.0 Vorlage/Template",
    },
    "ods": {"calc8": "calc8", "calc8_template": "calc8_template"},
}

TABLE_READER = "calc8"
"""The filter for the workbook that `table_package.py` makes of a CSV file."""

PACKAGES = frozenset({"docx", "odt", "pptx", "odp", "odg", "key", "xlsx", "ods"})
"""Source formats that are ZIP files."""

TEXT, SHEETS, SLIDES, DRAWING = (
    "com.sun.star.text.GenericTextDocument",
    "com.sun.star.sheet.SpreadsheetDocument",
    "com.sun.star.presentation.PresentationDocument",
    "com.sun.star.drawing.DrawingDocument",
)

TABLE_OPTIONS = "{separator},34,76,1,,0,false,true,{as_shown},false,false,{sheet}"
"""Filter options of CSV: code of the separator, quotation mark, UTF-8, first row; quote only where needed; numbers as
numbers; as shown or as stored; values instead of formulas; nothing removed; which sheet, from 1."""

# The filter for each kind of open document. A document of another kind is refused.
WRITERS: dict[str, dict[str, str]] = {
    "pdf": {
        TEXT: "writer_pdf_Export",
        SHEETS: "calc_pdf_Export",
        SLIDES: "impress_pdf_Export",
        DRAWING: "draw_pdf_Export",
    },
    "docx": {TEXT: "MS Word 2007 XML"},
    "odt": {TEXT: "writer8"},
    "rtf": {TEXT: "Rich Text Format"},
    "txt": {TEXT: "Text (encoded)"},
    "pptx": {SLIDES: "Impress MS PowerPoint 2007 XML"},
    "odp": {SLIDES: "impress8"},
    "xlsx": {SHEETS: "Calc MS Excel 2007 XML"},
    "ods": {SHEETS: "calc8"},
    "csv": {SHEETS: "Text - txt - csv (StarCalc)"},
}
