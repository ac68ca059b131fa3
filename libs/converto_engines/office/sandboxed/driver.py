"""Controls one LibreOffice over UNO for the worker: one JSON command per line in, one JSON response per line out.

It runs under the system's Python, to which the package `uno` belongs. The commands are start, ping, open, count, save,
pages and close. A response holds the requested figures, or `error` (a word that `warm_office.py` maps to an error),
`message` and `detail`.
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
from converto_engines.office.sandboxed.plain_text import separator_of, to_utf8
from converto_engines.pdf.sandboxed.pdfium import Library
from converto_engines.runtime.sandboxed.archive import check_size
from converto_engines.runtime.sandboxed.protocol import Refused, reserve_stdout

_START_S = 60.0  # a fresh profile on a loaded machine; a ready-made one takes half a second
_POLL_S = 0.02
_START_AGAIN = (79, 81)  # exit codes of LibreOffice: the profile is prepared, start me again
_EXIT_S = 5.0
_NO_LINK_UPDATE = _NEVER_RUN_MACROS = 0
_SWITCHES = (
    "--headless", "--invisible", "--nologo", "--nodefault", "--norestore", "--nolockcheck", "--nofirststartwizard",
)  # fmt: skip

_TEXTS = ("txt", "csv")  # LibreOffice accepts any bytes as text, so its type detection is not used for these
# Separator, quotation mark, UTF-8, first row; the last value keeps cells that look like formulas as text: nobody
# expects a table of values to compute, or to access the network, when the result is opened.
_TABLE_OPTIONS = "{},34,76,1,,0,false,false,false,false,false,0,false"
_PASSWORD_CHOICES = {"XInteractionPassword", "XInteractionPassword2"}
_NO_CHOICES = {"XInteractionAbort", "XInteractionDisapprove"}
_UnoError = uno.getClass("com.sun.star.uno.Exception")


class Questions(unohelper.Base, XInteractionHandler):  # type: ignore[misc]
    """Declines every dialog that LibreOffice would show, and records whether one asked for a password."""

    def __init__(self) -> None:
        self.wanted_password = False

    def handle(self, request: Any) -> None:
        """Select a negative choice; only the choices are visible through this bridge, not the question itself."""
        for continuation in request.getContinuations():
            names = {kind.typeName.rpartition(".")[2] for kind in continuation.getTypes()}
            self.wanted_password |= bool(names & _PASSWORD_CHOICES)
            if names & _NO_CHOICES:
                continuation.select()

    def refusal(self) -> Refused:
        """The refusal of a document that did not load."""
        return Refused("encrypted" if self.wanted_password else "unreadable")


class Office:
    """One LibreOffice process and at most one open document."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._context: Any = None
        self._document: Any = None
        self._pdfium: Library | None = None

    def respond(self, command: dict[str, Any]) -> dict[str, Any]:
        """Execute one command; errors of the document or of LibreOffice are returned, not raised."""
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
            return {"error": refusal.kind, "message": str(refusal)}
        except _UnoError as error:
            return {"error": "crashed" if self._has_died() else "failed", "detail": repr(error)[:2000]}

    def start(self, *, program: str, profile: str, pipe: str) -> dict[str, Any]:
        """Start LibreOffice on this profile and wait until it answers.

        Refuses with `start_again` once the profile is prepared. The worker has to remove the sockets in between: where
        Landlock confines this process, it may create sockets in /tmp but not delete them.
        """
        resolver = _local("com.sun.star.bridge.UnoUrlResolver")
        self._process = _launch(program, profile, pipe)
        self._context = self._connect(resolver, pipe, time.monotonic() + _START_S)
        if self._context is None:
            if self._process.poll() not in _START_AGAIN:
                raise Refused("start")
            self._process = None
            raise Refused("start_again")
        return {"version": self._version()}

    def ping(self) -> None:
        """Make a small request over the bridge: the process of a dying LibreOffice may still look alive."""
        self._desktop()

    def open(self, *, path: str, source_format: str, entries: int, unpacked_bytes: int) -> dict[str, Any]:
        """Load a document as the given format, and count its slides if it is a deck or a drawing."""
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
        except _UnoError as error:
            if self._has_died():
                raise
            raise questions.refusal() from error
        if self._document is None:
            raise questions.refusal()
        return self._slides()

    def count(self) -> dict[str, Any]:
        """Count the contents of the open document, for the comparison with the result."""
        return contents_of(self._document)

    def save(
        self, *, path: str, target: str, settings: dict[str, Any], filter_options: str = "", fit_width: bool = False
    ) -> None:
        """Write the open document in another format; `settings` are those of the PDF export."""
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
            # LibreOffice reports a page range without any existing page only as "cannot write".
            raise Refused("no_such_pages" if "PageRange" in settings else "failed") from error

    def pages(self, *, path: str, pdfium: str) -> dict[str, Any]:
        """Count the pages of a written PDF with pdfium; 0 when it does not open."""
        if self._pdfium is None:
            self._pdfium = Library(pdfium)
        return {"pages": self._pdfium.count_pages(path)}

    def close(self) -> None:
        """Close the open document, if any."""
        document, self._document = self._document, None
        if document is not None:
            document.close(True)

    def end(self) -> None:
        """Let LibreOffice exit by itself, so that it saves its profile; kill it when it does not."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            self._desktop().terminate()
            process.wait(_EXIT_S)
        except (_UnoError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()

    def _connect(self, resolver: Any, pipe: str, ends_at: float) -> Any:
        while self._process is not None and self._process.poll() is None and time.monotonic() < ends_at:
            try:
                return resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
            except uno.getClass("com.sun.star.connection.NoConnectException"):
                time.sleep(_POLL_S)
        return None

    def _reader(self, path: str, source_format: str, questions: Questions) -> tuple[str, str, dict[str, Any]]:
        """URL, filter and further arguments for loading a source."""
        url, readers = uno.systemPathToFileUrl(path), READERS[source_format]
        if source_format in _TEXTS:
            sample = to_utf8(Path(path))
            options = "UTF8,LF,,," if source_format == "txt" else _TABLE_OPTIONS.format(ord(separator_of(sample)))
            return url, readers["generic_Text"], {"FilterOptions": options}
        detection = self._service("com.sun.star.document.TypeDetection")
        description = _properties({"URL": url, "ReadOnly": True, "InteractionHandler": questions})
        detected, _ = detection.queryTypeByDescriptor(description, True)
        if detected not in readers:
            raise questions.refusal()
        return url, readers[detected], {}

    def _slides(self) -> dict[str, Any]:
        """The number of slides or drawing pages and the numbers of the visible ones; None for other documents."""
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
        """Return whether LibreOffice has exited; waits a moment for a process that is just dying."""
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
    """Scale every sheet to the width of one page, over as many pages in height as it needs."""
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
    """Refuse a ZIP container that is too large; LibreOffice reports what is wrong with an unreadable one."""
    try:
        with zipfile.ZipFile(path) as package:
            members = package.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
        return
    check_size(members, entries=entries, unpacked_bytes=unpacked_bytes)


def print_version(program: str) -> None:
    """Print the version of LibreOffice on one line; this module only loads where `uno` can be imported.

    The sandbox limits the time.
    """
    run = subprocess.run([str(Path(program) / "soffice.bin"), "--version"], capture_output=True, check=True)
    sys.stdout.write(run.stdout.decode().split()[1] + "\n")


def main() -> None:
    """Print the version if requested, else respond to commands until stdin is closed."""
    if sys.argv[1:2] == ["--version"]:
        print_version(sys.argv[2])
        return
    reserve_stdout()
    office = Office()
    try:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(office.respond(json.loads(line))) + "\n")
            sys.stdout.flush()
    finally:
        office.end()
