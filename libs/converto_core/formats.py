"""The table of file formats: name, MIME type, family and extensions."""

from enum import StrEnum

import msgspec


class Family(StrEnum):
    """The families of formats; each has its own queues, so a small picture never waits behind a long video."""

    OFFICE = "office"
    PDF = "pdf"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL = "model"


class Format(msgspec.Struct, frozen=True):
    """One file format. `name` identifies it in the API and in file names."""

    name: str
    title: str
    mime_type: str
    family: Family
    extensions: tuple[str, ...]
    other_mime_types: tuple[str, ...] = ()


_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"

FORMATS: tuple[Format, ...] = (
    Format(
        "docx",
        "Word document",
        f"{_OOXML}.wordprocessingml.document",
        Family.OFFICE,
        ("docx", "docm", "dotx"),
    ),
    Format("doc", "Word 97 document", "application/msword", Family.OFFICE, ("doc", "dot")),
    Format("odt", "OpenDocument text", f"{_ODF}.text", Family.OFFICE, ("odt", "ott")),
    Format("rtf", "Rich Text", "application/rtf", Family.OFFICE, ("rtf",), ("text/rtf",)),
    Format("txt", "Plain text", "text/plain", Family.OFFICE, ("txt", "text", "log")),
    Format("md", "Markdown text", "text/markdown", Family.OFFICE, ("md", "markdown")),
    Format("html", "HTML page", "text/html", Family.OFFICE, ("html", "htm", "xhtml"), ("application/xhtml+xml",)),
    Format("epub", "EPUB book", "application/epub+zip", Family.OFFICE, ("epub",)),
    Format("csv", "Comma-separated values", "text/csv", Family.OFFICE, ("csv", "tsv"), ("application/csv",)),
    Format(
        "json",
        "JSON data",
        "application/json",
        Family.OFFICE,
        ("json", "jsonl", "ndjson"),
        ("application/jsonl", "application/x-ndjson"),
    ),
    Format("srt", "SubRip subtitles", "application/x-subrip", Family.OFFICE, ("srt",)),
    Format("vtt", "WebVTT subtitles", "text/vtt", Family.OFFICE, ("vtt",)),
    Format(
        "pptx",
        "PowerPoint presentation",
        f"{_OOXML}.presentationml.presentation",
        Family.OFFICE,
        ("pptx", "pptm", "ppsx", "potx"),
    ),
    Format("ppt", "PowerPoint 97 presentation", "application/vnd.ms-powerpoint", Family.OFFICE, ("ppt", "pps")),
    Format("odp", "OpenDocument presentation", f"{_ODF}.presentation", Family.OFFICE, ("odp", "otp")),
    Format("key", "Keynote presentation", "application/vnd.apple.keynote", Family.OFFICE, ("key",)),
    Format("xlsx", "Excel workbook", f"{_OOXML}.spreadsheetml.sheet", Family.OFFICE, ("xlsx", "xlsm", "xltx")),
    Format("xls", "Excel 97 workbook", "application/vnd.ms-excel", Family.OFFICE, ("xls", "xlt")),
    Format("ods", "OpenDocument spreadsheet", f"{_ODF}.spreadsheet", Family.OFFICE, ("ods", "ots")),
    Format("odg", "OpenDocument drawing", f"{_ODF}.graphics", Family.OFFICE, ("odg",)),
    Format("pdf", "PDF document", "application/pdf", Family.PDF, ("pdf",)),
    Format("png", "PNG picture", "image/png", Family.IMAGE, ("png", "apng"), ("image/apng",)),
    Format("jpg", "JPEG picture", "image/jpeg", Family.IMAGE, ("jpg", "jpeg", "jpe", "jfif")),
    Format("webp", "WebP picture", "image/webp", Family.IMAGE, ("webp",)),
    Format("avif", "AVIF picture", "image/avif", Family.IMAGE, ("avif",)),
    Format("heic", "HEIC picture", "image/heic", Family.IMAGE, ("heic", "heif"), ("image/heif",)),
    Format("tiff", "TIFF picture", "image/tiff", Family.IMAGE, ("tif", "tiff")),
    Format("gif", "GIF picture", "image/gif", Family.IMAGE, ("gif",)),
    Format("bmp", "Bitmap picture", "image/bmp", Family.IMAGE, ("bmp", "dib"), ("image/x-ms-bmp",)),
    Format("svg", "SVG drawing", "image/svg+xml", Family.IMAGE, ("svg", "svgz")),
    Format("ico", "Icon", "image/vnd.microsoft.icon", Family.IMAGE, ("ico",), ("image/x-icon",)),
    Format("jp2", "JPEG 2000 picture", "image/jp2", Family.IMAGE, ("jp2", "j2k")),
    Format("jxl", "JPEG XL picture", "image/jxl", Family.IMAGE, ("jxl",)),
    Format("psd", "Photoshop picture", "image/vnd.adobe.photoshop", Family.IMAGE, ("psd",)),
    Format("tga", "Targa picture", "image/x-tga", Family.IMAGE, ("tga",)),
    Format("mp4", "MP4 video", "video/mp4", Family.VIDEO, ("mp4", "m4v", "3gp")),
    Format("mkv", "Matroska video", "video/x-matroska", Family.VIDEO, ("mkv",)),
    Format("webm", "WebM video", "video/webm", Family.VIDEO, ("webm",)),
    Format("mov", "QuickTime video", "video/quicktime", Family.VIDEO, ("mov", "qt")),
    Format("avi", "AVI video", "video/x-msvideo", Family.VIDEO, ("avi",)),
    Format("ts", "MPEG transport stream", "video/mp2t", Family.VIDEO, ("ts", "m2ts", "mts")),
    Format("mpg", "MPEG video", "video/mpeg", Family.VIDEO, ("mpg", "mpeg", "vob")),
    Format("flv", "Flash video", "video/x-flv", Family.VIDEO, ("flv",)),
    Format("wmv", "Windows Media video", "video/x-ms-wmv", Family.VIDEO, ("wmv", "asf", "wma"), ("video/x-ms-asf",)),
    Format("wav", "WAV sound", "audio/x-wav", Family.AUDIO, ("wav",), ("audio/wav",)),
    Format("flac", "FLAC sound", "audio/flac", Family.AUDIO, ("flac",), ("audio/x-flac",)),
    Format("mp3", "MP3 sound", "audio/mpeg", Family.AUDIO, ("mp3",)),
    Format("ogg", "Ogg Vorbis sound", "audio/ogg", Family.AUDIO, ("ogg", "oga")),
    Format("opus", "Opus sound", "audio/opus", Family.AUDIO, ("opus",)),
    Format("m4a", "AAC sound in MP4", "audio/x-m4a", Family.AUDIO, ("m4a", "m4b"), ("audio/mp4",)),
    Format("aac", "AAC sound", "audio/aac", Family.AUDIO, ("aac",)),
    Format("step", "STEP model", "model/step", Family.MODEL, ("step", "stp")),
    Format("iges", "IGES model", "model/iges", Family.MODEL, ("iges", "igs")),
    Format("brep", "OpenCASCADE model", "model/vnd.opencascade.brep", Family.MODEL, ("brep", "brp")),
    Format("stl", "STL mesh", "model/stl", Family.MODEL, ("stl",)),
    Format("obj", "OBJ mesh", "model/obj", Family.MODEL, ("obj",)),
    Format("glb", "glTF binary model", "model/gltf-binary", Family.MODEL, ("glb",)),
    Format("gltf", "glTF model", "model/gltf+json", Family.MODEL, ("gltf",)),
    Format("ply", "PLY mesh", "model/ply", Family.MODEL, ("ply",)),
    Format("3mf", "3MF model", "model/3mf", Family.MODEL, ("3mf",)),
    Format("off", "OFF mesh", "model/vnd.off", Family.MODEL, ("off",)),
    Format("dae", "COLLADA model", "model/vnd.collada+xml", Family.MODEL, ("dae",)),
    Format("fbx", "FBX model", "application/vnd.autodesk.fbx", Family.MODEL, ("fbx",)),
    Format("3ds", "3D Studio model", "image/x-3ds", Family.MODEL, ("3ds",)),
)

BY_NAME = {entry.name: entry for entry in FORMATS}
_BY_EXTENSION = {extension: entry for entry in FORMATS for extension in entry.extensions}
_BY_MIME_TYPE = {mime_type: entry for entry in FORMATS for mime_type in (entry.mime_type, *entry.other_mime_types)}


def extension_of(filename: str) -> str:
    """The lower-case extension of a file name without its dot; empty when there is none."""
    stem, dot, extension = filename.rpartition(".")
    return extension.lower() if dot and stem else ""


def format_of_name(filename: str) -> Format | None:
    """The format that a file name claims; None when its extension is not in the table."""
    return _BY_EXTENSION.get(extension_of(filename))


def format_named(name: str) -> Format | None:
    """The format for user input such as `pdf`, `.PDF`, `jpeg` or `tif`; None when unknown."""
    lowered = name.lower().strip().lstrip(".")
    return BY_NAME.get(lowered) or _BY_EXTENSION.get(lowered)


def format_of_mime_type(mime_type: str) -> Format | None:
    """The format of a MIME type; parameters such as charset are ignored."""
    return _BY_MIME_TYPE.get(mime_type.partition(";")[0].strip().lower())
