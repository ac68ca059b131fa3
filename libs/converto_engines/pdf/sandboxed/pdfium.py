"""A thin ctypes wrapper of the C library pdfium. Standard library only.

The full binding pypdfium2 declares hundreds of functions at import, which takes longer than rendering a simple page.
pdfium is not thread-safe.
"""

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_ulong, c_void_p
from typing import Any

_ERROR_PASSWORD, _ERROR_SECURITY = 4, 5
_FORMAT_BGR = 2
_WITH_ANNOTATIONS, _RED_FIRST = 0x01, 0x10
_WHITE = 0xFFFFFFFF
_FORM_TYPE_NONE = 0
_FORM_RECORD_BYTES = 1024  # FPDF_FORMFILLINFO is smaller; all its callbacks stay null
_POINTS_PER_INCH = 72
_PROBE_PIXELS = 300  # the longer side of a page that is only looked at; a full stop still leaves a grey pixel
_HYPHEN = "\ufffe"  # how pdfium writes a hyphen at the end of a line


class PdfError(Exception):
    """Raised for a document or page that pdfium cannot read."""


class PasswordNeeded(PdfError):
    """Raised for a document that does not open without a password."""


class _Size(ctypes.Structure):
    _fields_ = (("width", c_float), ("height", c_float))


class Library:
    """The loaded library."""

    def __init__(self, path: str) -> None:
        """Load pdfium from this file; raises `OSError` when it is missing."""
        self.c = ctypes.CDLL(path)
        pointers = ("FPDF_LoadDocument", "FPDF_LoadPage", "FPDFBitmap_CreateEx", "FPDFDOC_InitFormFillEnvironment")
        for name in (*pointers, "FPDFText_LoadPage"):
            getattr(self.c, name).restype = c_void_p
        self.c.FPDF_GetLastError.restype = c_ulong
        self.c.FPDF_InitLibrary()

    def open(self, path: str) -> "Document":
        """Open a document with the empty password; raises `PasswordNeeded` or `PdfError`."""
        pointer = self.c.FPDF_LoadDocument(c_char_p(path.encode()), None)
        if not pointer:
            is_locked = self.c.FPDF_GetLastError() in {_ERROR_PASSWORD, _ERROR_SECURITY}
            raise PasswordNeeded() if is_locked else PdfError("the document cannot be read")
        return Document(self, pointer)

    def count_pages(self, path: str) -> int:
        """Count the pages of a document and load its last page; 0 when either fails."""
        pointer = self.c.FPDF_LoadDocument(c_char_p(path.encode()), None)
        if not pointer:
            return 0
        document = c_void_p(pointer)
        try:
            pages: int = self.c.FPDF_GetPageCount(document)
            last = self.c.FPDF_LoadPage(document, c_int(pages - 1))
            if not last:
                return 0
            self.c.FPDF_ClosePage(c_void_p(last))
        finally:
            self.c.FPDF_CloseDocument(document)
        return pages


class Document:
    """An open document and its form fields."""

    def __init__(self, library: Library, pointer: int) -> None:
        """`pointer` is a document that pdfium has opened."""
        self._c, self._pointer = library.c, c_void_p(pointer)
        self.page_count: int = self._c.FPDF_GetPageCount(self._pointer)
        self._form_record = ctypes.create_string_buffer(_FORM_RECORD_BYTES)
        ctypes.cast(self._form_record, ctypes.POINTER(c_int))[0] = 2  # the version of the record
        self._form = self._opened_form()

    def size(self, index: int) -> tuple[float, float]:
        """Return width and height of a page in inches, as displayed; pages count from 0."""
        size = _Size()
        if not self._c.FPDF_GetPageSizeByIndexF(self._pointer, c_int(index), byref(size)):
            raise PdfError(f"page {index + 1} cannot be read")
        return size.width / _POINTS_PER_INCH, size.height / _POINTS_PER_INCH

    def has_marks(self, index: int) -> bool:
        """Return whether a page shows anything but white; pages count from 0."""
        size = self.size(index)
        scale = _PROBE_PIXELS / max(*size, 1e-6)
        pixels = self.render(index, *(max(round(side * scale), 1) for side in size))
        return bool(pixels.raw.strip(b"\xff"))

    def text(self, index: int) -> str:
        """Return the text of a page in the order of its content, lines ended by a line feed; pages count from 0."""
        page = self._c.FPDF_LoadPage(self._pointer, c_int(index))
        if not page:
            raise PdfError(f"page {index + 1} cannot be read")
        try:
            return self._text(c_void_p(page))
        finally:
            self._c.FPDF_ClosePage(c_void_p(page))

    def render(self, index: int, width: int, height: int) -> Any:
        """Return RGB pixels of a page on white, with annotations and form fields; pages count from 0."""
        page = self._c.FPDF_LoadPage(self._pointer, c_int(index))
        if not page:
            raise PdfError(f"page {index + 1} cannot be read")
        try:
            return self._drawn(c_void_p(page), width, height)
        finally:
            self._c.FPDF_ClosePage(c_void_p(page))

    def _text(self, page: c_void_p) -> str:
        opened = self._c.FPDFText_LoadPage(page)
        if not opened:
            return ""
        text = c_void_p(opened)
        try:
            count = max(self._c.FPDFText_CountChars(text), 0)
            units = ctypes.create_string_buffer(2 * (count + 1))
            written = self._c.FPDFText_GetText(text, c_int(0), c_int(count), units)
        finally:
            self._c.FPDFText_ClosePage(text)
        found = units.raw[: 2 * max(written - 1, 0)].decode("utf-16-le", "replace")
        return found.replace("\r\n", "\n").replace("\r", "\n").replace(_HYPHEN, "-")

    def _drawn(self, page: c_void_p, width: int, height: int) -> Any:
        pixels = ctypes.create_string_buffer(width * height * 3)
        created = self._c.FPDFBitmap_CreateEx(c_int(width), c_int(height), c_int(_FORMAT_BGR), pixels, c_int(width * 3))
        if not created:
            raise MemoryError("a page that is larger than the memory")
        bitmap = c_void_p(created)
        area = (c_int(0), c_int(0), c_int(width), c_int(height), c_int(0), c_int(_WITH_ANNOTATIONS | _RED_FIRST))
        self._c.FPDFBitmap_FillRect(bitmap, c_int(0), c_int(0), c_int(width), c_int(height), c_ulong(_WHITE))
        self._c.FPDF_RenderPageBitmap(bitmap, page, *area)
        if self._form is not None:
            self._c.FORM_OnAfterLoadPage(page, self._form)
            self._c.FPDF_FFLDraw(self._form, bitmap, page, *area)
            self._c.FORM_OnBeforeClosePage(page, self._form)
        self._c.FPDFBitmap_Destroy(bitmap)
        return pixels

    def _opened_form(self) -> c_void_p | None:
        if self._c.FPDF_GetFormType(self._pointer) == _FORM_TYPE_NONE:
            return None
        form = self._c.FPDFDOC_InitFormFillEnvironment(self._pointer, self._form_record)
        return c_void_p(form) if form else None
