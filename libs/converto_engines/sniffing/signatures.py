"""Byte signatures: a table for binary files and a few readers for text.

A kind is a format name or a name of `OTHERS`.
"""

import codecs
import json
import math
import re
import struct
import zlib
from typing import Final

OTHERS: Final[dict[str, tuple[str, str]]] = {
    "zip": ("ZIP archive", "application/zip"),
    "ole2": ("Microsoft compound file", "application/x-ole-storage"),
    "ooxml-encrypted": ("password-protected Office file", "application/encrypted"),
    "visio": ("Visio drawing", "application/vnd.visio"),
    "outlook": ("Resolution message", "application/vnd.ms-outlook"),
    "iwork": ("Apple Pages or Numbers document", "application/vnd.apple.iwork"),
    "mhtml": ("web archive (MHTML)", "multipart/related"),
    "xml": ("XML document", "text/xml"),
    "postscript": ("PostScript file", "application/postscript"),
    "playlist": ("streaming playlist", "application/vnd.apple.mpegurl"),
    "dash": ("streaming manifest (DASH)", "application/dash+xml"),
    "sdp": ("streaming session description", "application/sdp"),
    "exe": ("Windows program", "application/vnd.microsoft.portable-executable"),
    "elf": ("Linux program", "application/x-executable"),
    "macho": ("macOS program", "application/x-mach-binary"),
    "script": ("script", "text/x-shellscript"),
    "theora": ("Ogg Theora video", "video/ogg"),
    "gzip": ("gzip archive", "application/gzip"),
    "7z": ("7-Zip archive", "application/x-7z-compressed"),
    "rar": ("RAR archive", "application/vnd.rar"),
    "text": ("plain text", "text/plain"),
}
"""Kinds that converto recognises but does not convert: title for users, MIME type."""

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"8BPS\0\1", "psd"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"%PDF-", "pdf"),
    (b"{\\rtf", "rtf"),
    (b"%!PS", "postscript"),
    (b"\xc5\xd0\xd3\xc6", "postscript"),
    (b"fLaC", "flac"),
    (b"FLV\1", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
    (b"\0\0\1\xba", "mpg"),
    (b"\0\0\1\xb3", "mpg"),
    (b"glTF", "glb"),
    (b"Kaydara FBX Binary", "fbx"),
    (b"\x7fELF", "elf"),
    (b"\xfe\xed\xfa\xcf", "macho"),
    (b"\xcf\xfa\xed\xfe", "macho"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)

_UNPACKED_BYTES = 64 * 1024  # enough to find the root element of a compressed drawing


def kind_of_bytes(head: bytes) -> str | None:
    """Return the kind of a binary file by its signature; None when no signature matches."""
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return _packed_kind(head) if kind == "gzip" else kind
    return _kind_by_reader(head)


def _packed_kind(head: bytes) -> str:
    """Return `svg` for a compressed drawing (svgz), which is the same format to users, else `gzip`."""
    try:
        start = zlib.decompressobj(wbits=31).decompress(head, _UNPACKED_BYTES)
    except zlib.error:
        return "gzip"
    text = text_of(start)
    return "svg" if text is not None and kind_of_text(text) == "svg" else "gzip"


def _kind_by_reader(head: bytes) -> str | None:
    for reader in (_iso_media, _riff, _matroska, _ogg, _icon, _bitmap, _program, _studio_mesh, _frames):
        if kind := reader(head):
            return kind
    return None


def _iso_media(head: bytes) -> str | None:
    if head[4:8] in {b"moov", b"mdat", b"wide"}:
        return "mov"
    if head[4:8] != b"ftyp":
        return None
    size = min(max(int.from_bytes(head[:4], "big"), 12), 512)
    brands = {head[8:12], *(head[position : position + 4] for position in range(16, size, 4))}
    if brands & {b"avif", b"avis"}:
        return "avif"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}:
        return "heic"
    if head[8:12] in {b"M4A ", b"M4B "}:
        return "m4a"
    return "mov" if head[8:12] == b"qt  " else "mp4"


def _riff(head: bytes) -> str | None:
    if head[:4] not in {b"RIFF", b"RF64"}:
        return None
    return {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    return "webm" if b"webm" in head[:64] else "mkv"


def _ogg(head: bytes) -> str | None:
    if not head.startswith(b"OggS\0"):
        return None
    if b"\x80theora" in head[:512]:
        return "theora"
    return "opus" if b"OpusHead" in head[:512] else "ogg"


def _icon(head: bytes) -> str | None:
    if head[:4] != b"\0\0\1\0" or len(head) < 22:
        return None
    (count,) = struct.unpack_from("<H", head, 4)
    return "ico" if 0 < count <= 256 and head[9] == 0 else None


_TARGA_KINDS = {1, 2, 3, 9, 10, 11}


def is_targa(head: bytes, tail: bytes) -> bool:
    """Targa has its signature at the end; without one, all numbers of the header must be plausible."""
    if len(head) < 18 or head[2] not in _TARGA_KINDS or head[1] > 1 or head[16] not in {8, 15, 16, 24, 32}:
        return False
    width, height = struct.unpack_from("<HH", head, 12)
    return width > 0 and height > 0 and tail[-18:] == b"TRUEVISION-XFILE.\0"


def _bitmap(head: bytes) -> str | None:
    if head[:2] != b"BM" or len(head) < 18:
        return None
    return "bmp" if int.from_bytes(head[14:18], "little") in {12, 16, 40, 52, 56, 64, 108, 124} else None


def _program(head: bytes) -> str | None:
    if head[:2] == b"MZ" and len(head) >= 64:
        return "exe"
    return "script" if head[:3] == b"#!/" else None


def _studio_mesh(head: bytes) -> str | None:
    if head[:2] != b"MM" or len(head) < 8:
        return None
    return "3ds" if head[6:8] in {b"\x02\0", b"\x3d\x3d"} else None


def _frames(head: bytes) -> str | None:
    """Detect streams without a header: a packet every 188 or 192 bytes, or two consecutive audio frames."""
    for first, step in ((0, 188), (4, 192)):
        if len(head) > first + 3 * step and all(head[first + index * step] == 0x47 for index in range(4)):
            return "ts"
    if head[:2] in {b"\xff\xf1", b"\xff\xf9"}:
        return "aac"
    if head.startswith(b"ID3"):
        return _behind_tag(head)
    return "mp3" if _is_mpeg_audio(head) else None


def _behind_tag(head: bytes) -> str:
    """Detect what follows an ID3 tag: nearly always MP3, but some programs put one before FLAC and AAC too."""
    size = 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
    follows = head[size : size + 4]
    if follows == b"fLaC":
        return "flac"
    return "aac" if follows[:2] in {b"\xff\xf1", b"\xff\xf9"} else "mp3"


_KBPS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _is_mpeg_audio(head: bytes) -> bool:
    """Two layer-III frames, the second at the position that the first header implies."""
    size = _audio_frame_bytes(head[:4])
    return size > 0 and _audio_frame_bytes(head[size : size + 4]) > 0


def _audio_frame_bytes(header: bytes) -> int:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, rate, frequency, padding = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or rate in {0, 15} or frequency == 3:
        return 0
    kbps, hertz = _KBPS[3 if version == 3 else 2][rate], _HERTZ[version][frequency]
    return (144 if version == 3 else 72) * kbps * 1000 // hertz + padding


def kind_of_text(text: str) -> str:
    """Return the kind of a text file; `text` when it is nothing more specific."""
    start = _behind_comments(text.lstrip("\ufeff \t\r\n"))
    for marker, kind in _TEXT_STARTS:
        if start.startswith(marker):
            return kind
    special = _markup(start) or _mail(start) or _mesh_text(start) or _gltf(start)
    return special or _numbered_text(text, start) or "text"


def _behind_comments(start: str) -> str:
    """Skip the comments that a STEP file may begin with; a regular expression could be made to backtrack for hours."""
    rest = start
    while rest.startswith("/*") and (end := rest.find("*/")) > 0:
        rest = rest[end + 2 :].lstrip()
    return rest if rest.startswith("ISO-10303-21") else start


_SUBTITLE = re.compile(r"\d+[ \t]*\r?\n\d{1,3}:\d\d:\d\d[,.]\d{1,3} --> \d")


def _numbered_text(text: str, start: str) -> str | None:
    if _SUBTITLE.match(start):
        return "srt"
    return "iges" if _is_iges(text) else None


_TEXT_STARTS = (
    ("ISO-10303-21", "step"),
    ("%!PS", "postscript"),
    ("{\\rtf", "rtf"),
    ("#EXTM3U", "playlist"),
    ("WEBVTT", "vtt"),
    ("#!/", "script"),
    ("DBRep_DrawableShape", "brep"),
    ("CASCADE Topology", "brep"),
)

_PROLOGUE = re.compile(r"(?:<\?xml[^>]{0,500}\?>|<!--.{0,8000}?-->|\s+)*", re.DOTALL)
_ROOTS = (
    ("<svg", "svg"),
    ("<!doctype svg", "svg"),
    ("<!doctype html", "html"),
    ("<html", "html"),
    ("<head", "html"),
    ("<body", "html"),
    ("<script", "html"),
    ("<mpd", "dash"),
    ("<collada", "dae"),
)


def _markup(text: str) -> str | None:
    if not text.startswith("<"):
        return None
    prologue = _PROLOGUE.match(text)
    root = text[prologue.end() if prologue else 0 :].lower()
    for marker, kind in _ROOTS:
        if root.startswith(marker):
            return kind
    if re.match(r"<(?:!doctype\s+svg|\w+:svg\b)", root) or "<svg" in root[:2000]:
        return "svg"
    return "xml" if text.startswith("<?xml") else None


_PAGE_ELEMENTS = frozenset(
    """
    a abbr address article aside audio b base bdi bdo blockquote body br button canvas caption center cite code data dd
    del details dfn dialog div dl dt em fieldset figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr
    html i iframe img input ins kbd label legend li link main map mark menu meta nav noscript ol p picture pre q ruby s
    samp script section select small span strike strong style sub summary sup table tbody td template textarea tfoot th
    thead time title tr tt u ul var video
    """.split()  # noqa: SIM905 -- reads better than a list of quoted words
)
_FIRST_TAG = re.compile(r"<([a-z][a-z0-9]*)(?=[\s/>])", re.IGNORECASE)


def is_part_of_page(text: str) -> bool:
    """Detect HTML that begins with any of its tags, such as `<h1>`: it is read as a page when its name says so."""
    start = text.lstrip("\ufeff \t\r\n")
    prologue = _PROLOGUE.match(start)
    tag = _FIRST_TAG.match(start, prologue.end() if prologue else 0)
    return tag is not None and tag[1].lower() in _PAGE_ELEMENTS


def _mail(text: str) -> str | None:
    opening = text[:4000].lower()
    if re.match(r"(?:from|mime-version|content-type|subject|date|snapshot-content-location):", opening):
        return "mhtml" if "multipart/related" in opening else None
    return "sdp" if opening.startswith("v=0") and "\no=" in opening.replace("\r", "") else None


def _mesh_text(text: str) -> str | None:
    if re.match(r"solid\b", text, re.IGNORECASE) and _STL_WORD.search(text):
        return "stl"
    for kind, opening in _MESH_OPENINGS:
        if opening.match(text):
            return kind
    return _wavefront(text)


_STL_WORD = re.compile(r"\b(?:facet\s+normal|endsolid)\b", re.IGNORECASE)
_MESH_OPENINGS = (
    ("ply", re.compile(r"ply\r?\n(?:(?:comment|obj_info)[^\n]*\n)*format ")),
    ("off", re.compile(r"(?:#[^\n]*\n\s*){0,100}(?:ST)?C?N?4?n?OFF\b[^\n]*\n")),
    ("fbx", re.compile(r"(?:;[^\n]*\n\s*){0,20}(?:; ?FBX \d|FBXHeaderExtension:)")),
)


_WAVEFRONT_LINE = re.compile(
    r"(?:v|vt|vn|vp|f|fo|l|p|o|g|s|mg|usemtl|usemap|maplib|mtllib|cstype|deg|curv2?|surf|parm|end|lod|bevel)\b"
)
_CONTINUATION = re.compile(r"\\\r?\n")
_VERTEX = re.compile(r"^[ \t]*v[ \t]+[-+]?[\d.]", re.MULTILINE)


def _wavefront(text: str) -> str | None:
    """Wavefront OBJ has no signature: every line at the start must be an OBJ statement, and one of them a vertex."""
    joined = _CONTINUATION.sub(" ", text)
    lines = [line.strip() for line in joined.splitlines()[:-1] or [joined]]
    statements = [line for line in lines if line and not line.startswith("#")][:40]
    if not statements or not _VERTEX.search(text):
        return None
    return "obj" if all(_WAVEFRONT_LINE.match(line) for line in statements) else None


def _is_iges(text: str) -> bool:
    """IGES lines have 80 columns: the section letter in column 73, then a sequence number."""
    first = text.splitlines()[0] if text else ""
    return len(first) >= 74 and first[72] in "SC" and first[73:80].strip().lstrip("0") == "1"


def _gltf(text: str) -> str | None:
    if not text.startswith("{") or '"asset"' not in text:
        return None
    asset = re.search(r'"asset"\s*:\s*(?=\{)', text)
    try:
        return "gltf" if asset and "version" in json.JSONDecoder().raw_decode(text, asset.end())[0] else None
    except (ValueError, RecursionError):
        return None


def is_gltf_without_asset(head: bytes) -> bool:
    """Detect a glTF whose `asset` comes after its embedded data by other keywords at its start."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and bool(_GLTF_WORD.search(head))


_GLTF_WORD = re.compile(rb'"(?:bufferViews|buffers|accessors|meshes|scenes)"\s*:\s*\[')


_ALLOWED_CONTROLS = frozenset("\t\n\r\f\x0b\x08\x1b\x1a")


def text_of(head: bytes) -> str | None:
    """Decode the first bytes if they are text: UTF-8, UTF-16 or UTF-32 with a byte order mark, or a code page."""
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
    try:
        # An incremental decoder, because the bytes may end in the middle of a character.
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            return None
        text = head.decode("latin-1")
    controls = sum(1 for character in text if ord(character) < 32 and character not in _ALLOWED_CONTROLS)
    return text if controls == 0 else None


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def is_binary_stl(head: bytes, size_bytes: int | None, *, is_claimed: bool) -> bool:
    """A binary STL has no signature: its triangle count must match its size, or its name and numbers must agree."""
    if len(head) < 134:
        return False
    (triangles,) = struct.unpack_from("<I", head, 80)
    if size_bytes == 84 + 50 * triangles:
        return True
    numbers = struct.unpack_from("<12f", head, 84)
    return is_claimed and triangles > 0 and all(math.isfinite(number) and abs(number) < 1e9 for number in numbers)


def kind_of_opening(head: bytes) -> str | None:
    """Detect kinds of which only the first line must be text: binary PLY, STEP and BREP with stray bytes."""
    opening = head[:256].lstrip()
    if opening.startswith((b"ply\n", b"ply\r")):
        return "ply"
    if opening.startswith(b"ISO-10303-21"):
        return "step"
    return "brep" if opening.startswith((b"DBRep_DrawableShape", b"CASCADE Topology")) else None
