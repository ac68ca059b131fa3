"""What the results of the demo's samples have to be, and a look at the results with programs other than converto."""

import json
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from converto_core.formats import Family, format_named, format_of_name

_SECONDS_APART = 0.2
_PROBE_S = 60.0


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a result holds, as far as its kind has it; None: not looked at.

    `pages` are pages of a PDF or files of one page each, `frames` those of a video or an animation, `moves` means more
    than one frame, `size` is width and height in pixels, `seconds` the length, `sound` the number of sound tracks.
    """

    pages: int | None = None
    frames: int | None = None
    moves: bool | None = None
    size: tuple[int, int] | None = None
    seconds: float | None = None
    sound: int | None = None
    triangles: int | None = None
    cues: int | None = None


RIGHT: Mapping[tuple[str, str], Content] = {
    ("deck.pptx", "pdf"): Content(pages=3),
    ("deck.pptx", "png"): Content(pages=3, size=(1260, 709), frames=1),
    ("report.docx", "pdf"): Content(pages=2),
    ("table.xlsx", "pdf"): Content(pages=1),
    ("letter.odt", "pdf"): Content(pages=1),
    ("paper.pdf", "png"): Content(pages=4, size=(826, 1169), frames=1),
    ("photo.jpg", "webp"): Content(size=(960, 640), frames=1),
    ("drawing.png", "avif"): Content(size=(900, 600), frames=1),
    ("animation.gif", "webp"): Content(size=(320, 200), frames=24, seconds=1.92),
    ("scan.tiff", "jpg"): Content(size=(1240, 1754), frames=1),
    ("clip.avi", "mp4"): Content(size=(160, 120), frames=30, seconds=3.0, sound=1),
    ("clip.avi", "gif"): Content(size=(160, 120), frames=30, seconds=3.0),
    ("tone.wav", "mp3"): Content(seconds=3.0, sound=1, frames=0),
    ("tone.wav", "opus"): Content(seconds=3.0, sound=1, frames=0),
    ("bracket.step", "glb"): Content(triangles=20),
    ("bracket.step", "png"): Content(size=(1280, 960), frames=1),
    ("notes.md", "pdf"): Content(pages=1),
    ("book.epub", "pdf"): Content(pages=4),
    ("captions.srt", "vtt"): Content(cues=5),
}
"""The right results of the samples with the options that the demo chooses, by sample and target."""


def right_of(name: str, target: str) -> Content:
    """What the result of any other file has to hold: a video stays moving where the target can move."""
    source, result = format_of_name(name), format_named(target)
    if source is None or result is None or source.family is not Family.VIDEO:
        return Content()
    return Content(moves=True) if result.family is Family.VIDEO or result.name == "gif" else Content()


def faults(paths: Sequence[Path], right: Content) -> list[str]:
    """What is wrong with the files of one result, in words; empty when nothing is."""
    found: list[str] = []
    for path in paths:
        try:
            seen = look(path)
        except _UNREADABLE as error:
            found.append(f"{path.name} cannot be read: {error}")
            continue
        pages = len(paths) if seen.pages is None else seen.pages
        moves = None if seen.frames is None else seen.frames > 1
        found += _differences(msgspec.structs.replace(seen, pages=pages, moves=moves), right)
    return list(dict.fromkeys(found)) or ([] if paths else ["there is no file"])


def look(path: Path) -> Content:
    """Read one file; raises one of `_UNREADABLE` when it is no file of the kind it is named as."""
    known = format_of_name(path.name)
    if known is None:
        return Content()
    if known.family in (Family.VIDEO, Family.AUDIO):
        return _recording(path)
    reader = _READERS.get(known.name)
    return reader(path) if reader else Content()


def _differences(seen: Content, right: Content) -> Iterator[str]:
    for name in Content.__struct_fields__:
        expected, actual = getattr(right, name), getattr(seen, name)
        is_near = name == "seconds" and None not in (expected, actual) and abs(expected - actual) <= _SECONDS_APART
        if expected is not None and actual != expected and not is_near:
            yield f"{name}: {actual} instead of {expected}"


def _document(path: Path) -> Content:
    import pypdfium2  # noqa: PLC0415 - needed only for a PDF result

    try:
        with pypdfium2.PdfDocument(path) as document:
            return Content(pages=len(document))
    except pypdfium2.PdfiumError as error:
        raise ValueError(str(error)) from error


def _picture(path: Path) -> Content:
    from PIL import Image, ImageSequence  # noqa: PLC0415 - needed only for a picture

    with Image.open(path) as picture:
        durations_ms = []
        for frame in ImageSequence.Iterator(picture):
            frame.load()
            durations_ms.append(frame.info.get("duration", 0))
        return Content(size=picture.size, frames=len(durations_ms), seconds=sum(durations_ms) / 1000)


def _recording(path: Path) -> Content:
    """A video or a sound, all frames decoded."""
    shown = ["-show_entries", "format=duration:stream=codec_type,width,height,nb_read_frames", "-of", "json"]
    command = ["ffprobe", "-v", "error", "-count_frames", *shown, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, timeout=_PROBE_S).stdout
    probe: dict[str, Any] = json.loads(answer)
    videos = [stream for stream in probe["streams"] if stream["codec_type"] == "video"]
    return Content(
        size=(videos[0]["width"], videos[0]["height"]) if videos else None,
        frames=int(videos[0]["nb_read_frames"]) if videos else 0,
        seconds=float(probe["format"]["duration"]),
        sound=sum(stream["codec_type"] == "audio" for stream in probe["streams"]),
    )


def _model(path: Path) -> Content:
    """A binary glTF: the triangles of all its meshes."""
    body = path.read_bytes()
    magic, length = struct.unpack_from("<4s8xI", body)
    if magic != b"glTF":
        raise ValueError("no binary glTF")
    message = json.loads(body[20 : 20 + length])
    parts = [part for mesh in message["meshes"] for part in mesh["primitives"]]
    return Content(
        triangles=sum(
            message["accessors"][part.get("indices", part["attributes"]["POSITION"])]["count"] for part in parts
        )
        // 3
    )


def _subtitles(path: Path) -> Content:
    return Content(cues=path.read_text(encoding="utf-8").count(" --> "))


_UNREADABLE = (OSError, ValueError, LookupError, struct.error, subprocess.SubprocessError)
_READERS: Mapping[str, Callable[[Path], Content]] = {
    "pdf": _document,
    "glb": _model,
    "srt": _subtitles,
    "vtt": _subtitles,
    **dict.fromkeys(("png", "jpg", "webp", "avif", "tiff", "gif", "bmp", "ico", "jp2"), _picture),
}
