"""Owns one LibreOffice and answers for it, one JSON line in, one out; runs in the sandbox under the python with uno.

Commands: start, ping, open, count, save, pages, close. An answer has `error` (one of our words) or the figures asked
for. It imports nothing of converto but its neighbours here, and takes only paths that the worker made.
"""

import json
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uno
import unohelper
from com.sun.star.beans import PropertyValue
from com.sun.star.task import XInteractionHandler

from converto_engines.office.sandboxed.contents import contents_of
from converto_engines.office.sandboxed.filters import PACKAGES, READERS, SLIDES, WRITERS
from converto_engines.pdf.sandboxed.pdfium import Library

_START_S = 60.0  # a fresh profile on a loaded machine; a ready-made one takes half a second
_POLL_S = 0.02
_START_AGAIN = (79, 81)  # LibreOffice's way to say: profile prepared, now start me again
_END_S = 5.0
_NO_LINK_UPDATE = _NEVER_RUN_MACROS = 0
_SWITCHES = (
    "--headless", "--invisible", "--nologo", "--nodefault", "--norestore", "--nolockcheck", "--nofirststartwizard",
)  # fmt: skip

_TEXTS = ("txt", "csv")  # any bytes are text to LibreOffice: these are not asked for their type
_SAMPLE_BYTES = 64 * 1024
_SEPARATORS = ",;\t|"
# Separator, quotation mark, UTF-8, first row; the last says that what looks like a formula stays the text it is: a
# table of values is not expected to compute, or to ask the network, when somebody opens what was made of it.
_TABLE_OPTIONS = "{},34,76,1,,0,false,false,false,false,false,0,false"
_PASSWORD_ANSWERS = {"XInteractionPassword", "XInteractionPassword2"}
_NO_ANSWERS = {"XInteractionAbort", "XInteractionDisapprove"}


class Refused(Exception):
    """Raised with one of our words for why a command was not carried out."""


class Questions(unohelper.Base, XInteractionHandler):  # type: ignore[misc]
    """Says no to whatever LibreOffice would ask a person, and remembers whether it was for a password."""

    def __init__(self) -> None:
        self.wanted_password = False

    def handle(self, request: Any) -> None:
        """Look at the answers on offer (the question itself cannot be read through this bridge) and choose no."""
        for continuation in request.getContinuations():
            names = {kind.typeName.rpartition(".")[2] for kind in continuation.getTypes()}
            self.wanted_password |= bool(names & _PASSWORD_ANSWERS)
            if names & _NO_ANSWERS:
                continuation.select()


class Office:
    """One LibreOffice and at most one open document."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._context: Any = None
        self._document: Any = None
        self._pdfium: Library | None = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command; never raises for what a document or LibreOffice does."""
        actions: dict[str, Callable[..., dict[str, Any] | None]] = {
            "start": self.start, "ping": self.ping, "open": self.open, "count": self.count, "save": self.save,
            "pages": self.pages, "close": self.close,
        }  # fmt: skip
        action = actions[command.pop("command")]
        try:
            if self._process is not None and self._process.poll() is not None:
                return {"error": "gone"}
            return action(**command) or {}
        except Refused as refusal:
            return {"error": str(refusal)}
        except uno.getClass("com.sun.star.uno.Exception") as error:
            return {"error": "crashed" if self._has_died() else "failed", "detail": repr(error)[:2000]}

    def start(self, *, program: str, profile: str, pipe: str) -> dict[str, Any]:
        """Start LibreOffice on this profile and wait until it answers.

        Refuses with `start_again` once the profile is prepared. The worker has to remove the sockets in between: where
        Landlock confines this process, it may create sockets in /tmp but not delete them.
        """
        resolver = _local("com.sun.star.bridge.UnoUrlResolver")
        self._process = _launch(program, profile, pipe)
        self._context = self._connected(resolver, pipe, time.monotonic() + _START_S)
        if self._context is None:
            if self._process.poll() not in _START_AGAIN:
                raise Refused("start")
            self._process = None
            raise Refused("start_again")
        return {"version": self._version()}

    def ping(self) -> None:
        """Ask LibreOffice for something small: a dying process may still look alive, its bridge does not."""
        self._desktop()

    def open(self, *, path: str, source_format: str, entries: int, unpacked_bytes: int) -> dict[str, Any]:
        """Load a document as what it is said to be, and count its pages where its model knows them."""
        if source_format in PACKAGES:
            _check_package(path, entries, unpacked_bytes)
        questions = Questions()
        url, reader, options = self._reader(path, source_format, questions)
        arguments = {
            "FilterName": reader, "Hidden": True, "ReadOnly": True, "UpdateDocMode": _NO_LINK_UPDATE,
            "MacroExecutionMode": _NEVER_RUN_MACROS, "InteractionHandler": questions, **options,
        }  # fmt: skip
        try:
            self._document = self._desktop().loadComponentFromURL(url, "_blank", 0, _properties(arguments))
        except uno.getClass("com.sun.star.uno.Exception") as error:
            if self._has_died():
                raise
            raise Refused("encrypted" if questions.wanted_password else "unreadable") from error
        if self._document is None:
            raise Refused("encrypted" if questions.wanted_password else "unreadable")
        return self._slides()

    def count(self) -> dict[str, Any]:
        """Count what the open document holds, so that a result can be compared with it."""
        return contents_of(self._document)

    def save(
        self, *, path: str, target: str, settings: dict[str, Any], filter_options: str = "", fit_width: bool = False
    ) -> None:
        """Write the open document in another format; `settings` are those of the export to PDF."""
        writers = WRITERS[target]
        writer = next((writers[service] for service in writers if self._document.supportsService(service)), None)
        if writer is None:
            raise Refused("unreadable")
        if fit_width:
            _fit_width(self._document)
        arguments: dict[str, Any] = {"FilterName": writer, "Overwrite": True}
        if settings:
            arguments["FilterData"] = uno.Any("[]com.sun.star.beans.PropertyValue", _properties(settings))
        if filter_options:
            arguments["FilterOptions"] = filter_options
        try:
            self._document.storeToURL(uno.systemPathToFileUrl(path), _properties(arguments))
        except uno.getClass("com.sun.star.io.IOException") as error:
            # With a page range LibreOffice says no more than "cannot write" when not one of the pages exists.
            raise Refused("no_such_pages" if "PageRange" in settings else "failed") from error

    def pages(self, *, path: str, pdfium: str) -> dict[str, Any]:
        """Let pdfium open a PDF that was written, and count its pages; 0 when it does not open."""
        if self._pdfium is None:
            self._pdfium = Library(pdfium)
        return {"pages": self._pdfium.count_pages(path)}

    def close(self) -> None:
        """Close the open document, if any."""
        document, self._document = self._document, None
        if document is not None:
            document.close(True)

    def end(self) -> None:
        """Ask LibreOffice to leave, so that its profile is written, and make sure that it does."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            self._desktop().terminate()
            process.wait(_END_S)
        except (uno.getClass("com.sun.star.uno.Exception"), subprocess.TimeoutExpired):
            process.kill()
            process.wait()

    def _connected(self, resolver: Any, pipe: str, ends_at: float) -> Any:
        while self._process is not None and self._process.poll() is None and time.monotonic() < ends_at:
            try:
                return resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
            except uno.getClass("com.sun.star.connection.NoConnectException"):
                time.sleep(_POLL_S)
        return None

    def _reader(self, path: str, source_format: str, questions: Questions) -> tuple[str, str, dict[str, Any]]:
        """URL, filter and further arguments for a source."""
        url, readers = uno.systemPathToFileUrl(path), READERS[source_format]
        if source_format in _TEXTS:
            sample = _as_utf8(Path(path))
            options = "UTF8,LF,,," if source_format == "txt" else _TABLE_OPTIONS.format(ord(_separator(sample)))
            return url, readers["generic_Text"], {"FilterOptions": options}
        detection = self._service("com.sun.star.document.TypeDetection")
        description = _properties({"URL": url, "ReadOnly": True, "InteractionHandler": questions})
        found, _ = detection.queryTypeByDescriptor(description, True)
        if found not in readers:
            raise Refused("encrypted" if questions.wanted_password else "unreadable")
        return url, readers[found], {}

    def _slides(self) -> dict[str, Any]:
        """How many slides or drawing pages, and the numbers of those not hidden; None where only the layout knows."""
        if not self._document.supportsService("com.sun.star.drawing.GenericDrawingDocument"):
            return {"slides": None, "visible": None}
        pages = self._document.getDrawPages()
        is_deck, numbers = self._document.supportsService(SLIDES), range(pages.getCount())
        visible = [number + 1 for number in numbers if not is_deck or pages.getByIndex(number).Visible]
        return {"slides": len(numbers), "visible": visible}

    def _version(self) -> str:
        configuration = self._service("com.sun.star.configuration.ConfigurationProvider")
        node = _properties({"nodepath": "/org.openoffice.Setup/Product"})
        access = configuration.createInstanceWithArguments("com.sun.star.configuration.ConfigurationAccess", node)
        return str(access.getByName("ooSetupVersionAboutBox"))

    def _desktop(self) -> Any:
        return self._service("com.sun.star.frame.Desktop")

    def _service(self, name: str) -> Any:
        return self._context.ServiceManager.createInstanceWithContext(name, self._context)

    def _has_died(self) -> bool:
        """True when LibreOffice is no longer there; a process that is just dying gets a moment to be gone."""
        try:
            if self._process is not None:
                self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        return True


def _launch(program: str, profile: str, pipe: str) -> "subprocess.Popen[bytes]":
    argv = [str(Path(program) / "soffice.bin"), f"-env:UserInstallation={uno.systemPathToFileUrl(profile)}", *_SWITCHES]
    environment = {**os.environ, "SAL_USE_VCLPLUGIN": "svp"}
    return subprocess.Popen(
        [*argv, f"--accept=pipe,name={pipe};urp;"], stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment
    )


def _fit_width(document: Any) -> None:
    """Shrink what is wider than its page, on each sheet; as many pages below one another as it takes."""
    styles, sheets = document.StyleFamilies.getByName("PageStyles"), document.Sheets
    for number in range(sheets.getCount()):
        style = styles.getByName(sheets.getByIndex(number).PageStyle)
        style.ScaleToPagesX, style.ScaleToPagesY = 1, 0


def _local(name: str) -> Any:
    context = uno.getComponentContext()
    return context.ServiceManager.createInstanceWithContext(name, context)


def _properties(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(PropertyValue(Name=name, Value=value) for name, value in values.items())


def _check_package(path: str, entries: int, unpacked_bytes: int) -> None:
    """Refuse a ZIP file that says itself that it unpacks to too much; one that lies meets the limit of memory."""
    try:
        with zipfile.ZipFile(path) as package:
            members = package.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
        return  # LibreOffice says what is wrong with it
    if len(members) > entries or sum(member.file_size for member in members) > unpacked_bytes:
        raise Refused("too_large")


def _as_utf8(path: Path) -> str:
    """Rewrite a text file as UTF-8 and return its beginning; what is neither UTF-8 nor UTF-16 is Windows-1252."""
    content = path.read_bytes()
    text = _decoded(content)
    if "\0" in text:
        raise Refused("unreadable")
    path.unlink()  # the worker's own copy of the source may be the same file
    path.write_text(text, encoding="utf-8", newline="")
    return text[:_SAMPLE_BYTES]


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("windows-1252", errors="replace")


def _separator(sample: str) -> str:
    """The separator that stands most evenly in the first lines: the highest count that even the poorest line has."""
    lines = [line for line in sample.splitlines()[:20] if line.strip()]
    if not lines:
        return ","
    return max(_SEPARATORS, key=lambda mark: (min(line.count(mark) for line in lines), lines[0].count(mark)))


def print_version(program: str) -> None:
    """The version as one line; only reached when uno could be imported."""
    told = subprocess.run(
        [str(Path(program) / "soffice.bin"), "--version"], capture_output=True, check=True, timeout=15
    )
    sys.stdout.write(told.stdout.decode().split()[1] + "\n")


def main() -> None:
    """Print the version if asked to, else answer until standard input closes."""
    if sys.argv[1:2] == ["--version"]:
        print_version(sys.argv[2])
        return
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else prints must not be taken for an answer
    office = Office()
    try:
        for line in sys.stdin:
            answers.write(json.dumps(office.answer(json.loads(line))) + "\n")
    finally:
        office.end()
