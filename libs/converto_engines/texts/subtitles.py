"""SubRip to WebVTT and back, with times exact to the millisecond; one converter per direction."""

from typing import Any

from converto_core.catalogue import Loss
from converto_engines.converter import Job
from converto_engines.texts.text_converter import TextConverter


class _Subtitles(TextConverter):
    engine = "Python"
    loss = 0.1
    program = "subtitles"
    content = "subtitles"
    max_source_bytes = 64 * 1024**2

    def request_options(self, job: Job) -> dict[str, Any]:
        return {"from": job.source_format, "to": job.target_format}


class SrtToVtt(_Subtitles):
    """Converter of SubRip to WebVTT."""

    name = "srt-vtt"
    sources: tuple[str, ...] = ("srt",)
    targets: tuple[str, ...] = ("vtt",)
    losses: tuple[Loss, ...] = (Loss(text="colours, typefaces and positions of subtitles; bold and italic stay"),)


class VttToSrt(_Subtitles):
    """Converter of WebVTT to SubRip."""

    name = "vtt-srt"
    sources: tuple[str, ...] = ("vtt",)
    targets: tuple[str, ...] = ("srt",)
    losses: tuple[Loss, ...] = (
        Loss(text="styles, notes, positions, names of cues and of speakers; bold and italic stay"),
    )
