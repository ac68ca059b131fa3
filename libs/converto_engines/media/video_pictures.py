"""Video to one frame (PNG, JPEG, WebP) or to a short animated GIF, with ffmpeg."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, BadSource, CorruptSource, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.media import ffmpeg
from converto_engines.media.ffmpeg import Ffmpeg, FfmpegFailed
from converto_engines.media.ffmpeg_converter import FfmpegConverter
from converto_engines.media.probe import Probe, Track
from converto_engines.media.window import Moment, Start, Window, check_window, cut_arguments

_DEFAULT_AT = 0.1  # share of the length; the first frame is often black
_MAX_GIF_S = 60.0
_GIF_WIDTH, _GIF_FPS = 480, 12.0
_DEFAULT_QUALITY = {"jpg": 85, "webp": 80}
# Tone mapping from HDR to an SDR screen.
_TONE_MAPPING = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
)

_Side = Annotated[int, Meta(ge=16, le=8192)]


class FrameOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of one frame of a video."""

    at_s: Annotated[Moment | None, Meta(description="Seconds; default: a tenth of the video")] = None
    width: Annotated[_Side | None, Meta(description="Pixels; the height keeps the proportions")] = None
    quality: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None, Meta(description="For JPEG and WebP; default 85 and 80")
    ] = None


class GifOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of an animated GIF."""

    start_s: Start = 0.0
    end_s: Annotated[
        Moment | None,
        Meta(description=f"End of the part to convert, in seconds; the part may last {_MAX_GIF_S:.0f} s"),
    ] = None
    width: Annotated[
        _Side | None, Meta(description=f"Pixels; default {_GIF_WIDTH}, or the video's own width if smaller")
    ] = None
    fps: Annotated[
        Annotated[float, Meta(ge=1, le=50)] | None,
        Meta(description=f"Frames per second; default {_GIF_FPS:g}, or the video's own rate if lower"),
    ] = None


class VideoFrame(FfmpegConverter):
    """Converter of a video to one picture; see `Converter` for what its attributes mean."""

    name = "video-frame"
    family = Family.VIDEO
    sources: tuple[str, ...] = ffmpeg.VIDEO_SOURCES
    targets: tuple[str, ...] = ("png", "jpg", "webp")
    options: type[msgspec.Struct] = FrameOptions
    loss = 0.5
    seconds = 2.0
    losses: tuple[Loss, ...] = (Loss(text="movement and sound: one frame is kept"),)

    async def convert(self, job: Job) -> list[Product]:
        """Extract one frame, upright and with square pixels."""
        probe = await self._ffmpeg.probe_source(job)
        track = _main_track(probe)
        at_s = _moment(job, probe)
        size = _size(track, job.options.width)
        product = job.folder / f"frame.{job.target_format}"
        job.report(20, "extracting the frame")
        if not await self._take(job, track, at_s, product) and not await self._take(job, track, 0.0, product):
            raise CorruptSource("No frame of the video can be decoded")
        await check_picture(self._ffmpeg, job, product, size)
        return [Product(path=product)]

    async def _take(self, job: Job, track: Track, at_s: float, product: Path) -> bool:
        """Extract the frame at a time; return False when there is none, as often at the end of a file."""
        seeking = ["-ss", f"{at_s:.6f}"] if at_s else []
        reading = self._ffmpeg.reading(job, job.source, job.source_format)
        filters = ",".join(_filters(track, _size(track, job.options.width)))
        one = ["-map", f"0:{track.index}", "-frames:v", "1", "-update", "1", "-vf", filters, "-map_metadata", "-1"]
        arguments = [*seeking, *reading, *one, *_saving(job), self._ffmpeg.writing(job, product)]
        try:
            return (await self._ffmpeg.run(job, arguments)).frames > 0
        except FfmpegFailed as error:
            raise ffmpeg.translated(error) from error


class VideoGif(FfmpegConverter):
    """Converter of a video to an animated GIF; see `Converter` for what its attributes mean."""

    name = "video-gif"
    family = Family.VIDEO
    sources: tuple[str, ...] = ffmpeg.VIDEO_SOURCES
    targets: tuple[str, ...] = ("gif",)
    options: type[msgspec.Struct] = GifOptions
    loss = 0.8  # more than `VideoFrame`, so that plans to a still picture prefer one frame
    seconds = 10.0
    losses: tuple[Loss, ...] = (Loss(text="sound, all but 256 colours, and frames above the chosen rate"),)

    async def convert(self, job: Job) -> list[Product]:
        """Find the best 256 colours of all frames, then draw the frames with them."""
        window = Window(start_s=job.options.start_s, end_s=job.options.end_s)
        probe = await self._ffmpeg.probe_source(job)
        check_window(window, probe)
        track = _main_track(probe)
        length_s = _gif_length(window, probe)
        size = _size(track, job.options.width or min(_GIF_WIDTH, track.upright[0]))
        fps = job.options.fps or min(_GIF_FPS, track.frame_rate or _GIF_FPS)
        graph = ",".join([f"[0:{track.index}]fps={fps:g}", *_filters(track, size)])
        product = job.folder / "animation.gif"
        try:
            run = await self._draw(job, window, graph, product, length_s=length_s)
        except FfmpegFailed as error:
            raise ffmpeg.translated(error) from error
        if run.frames == 0:
            raise CorruptSource("No frame of the video can be decoded", detail=run.log)
        await check_picture(self._ffmpeg, job, product, size, frames=run.frames)
        if abs(run.duration_s - length_s) > max(2 / fps, 0.05 * length_s) + 0.02:
            detail = f"{run.duration_s} s instead of {length_s} s"
            raise OutputInvalid("The animation and the video differ in length", detail=detail)
        return [Product(path=product)]

    async def _draw(self, job: Job, window: Window, graph: str, product: Path, *, length_s: float) -> ffmpeg.RunResult:
        # Two runs instead of one with `split`, which keeps every frame in memory until the palette is known.
        palette = job.folder / "palette.png"
        before, after = cut_arguments(job, window)
        reading = [*before, *self._ffmpeg.reading(job, job.source, job.source_format)]
        palette_graph = ["-filter_complex", f"{graph},palettegen=stats_mode=full[palette]", "-map", "[palette]"]
        one = ["-frames:v", "1", "-update", "1", "-f", "image2", self._ffmpeg.writing(job, palette)]
        on_time = ffmpeg.progress_between(job.report, length_s, first=0, last=45, stage="choosing the colours")
        await self._ffmpeg.run(job, [*reading, *palette_graph, *after, *one], on_time=on_time)
        if not await asyncio.to_thread(_is_there, palette):
            raise CorruptSource("No frame of the video can be decoded")
        reading += self._ffmpeg.reading(job, palette, "png")
        drawing = f"{graph}[frames];[frames][1:v]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
        gif = ["-filter_complex", drawing, *after, "-loop", "0", "-f", "gif", self._ffmpeg.writing(job, product)]
        on_time = ffmpeg.progress_between(job.report, length_s, first=45, last=95, stage="drawing the frames")
        return await self._ffmpeg.run(job, [*reading, *gif], on_time=on_time)


async def check_picture(program: Ffmpeg, job: Job, product: Path, size: tuple[int, int], *, frames: int = 1) -> None:
    """Raise `OutputInvalid` unless the picture has this size and all its frames decode."""
    job.report(95, "checking the picture")
    if not await asyncio.to_thread(_is_there, product):
        raise OutputInvalid("No picture was written")
    made = await program.probe(job, product, job.target_format)
    shown = [(track.width, track.height) for track in made.of("video")]
    if shown != [size]:
        raise OutputInvalid("The picture has the wrong size", detail=f"{shown} instead of {size}")
    decoded = await program.decode(job, product, job.target_format, on_time=lambda _: None)
    if decoded.frames != frames:
        raise OutputInvalid("The picture lacks frames", detail=f"{decoded.frames} instead of {frames}")
    job.report(100, "done")


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _main_track(probe: Probe) -> Track:
    readable = [track for track in probe.of("video") if track.codec and track.width and track.height]
    if not readable:
        raise BadSource("The file has no readable video track")
    return next((track for track in readable if track.is_default), readable[0])


def _moment(job: Job, probe: Probe) -> float:
    duration_s, wanted = probe.duration_s, job.options.at_s
    if wanted is None:
        return (duration_s or 0.0) * _DEFAULT_AT
    if duration_s is not None and wanted > duration_s:
        raise BadOptions(f"at_s is after the end: the video lasts {duration_s:.1f} s")
    return float(wanted)


def _gif_length(window: Window, probe: Probe) -> float:
    length_s = window.length_of(probe.duration_s or 0.0)
    if length_s > _MAX_GIF_S:
        raise BadOptions(
            f"A GIF of {length_s:.0f} s is too long. Select at most {_MAX_GIF_S:.0f} s with start_s and end_s"
        )
    return length_s


def _size(track: Track, width: int | None) -> tuple[int, int]:
    """Return the display size: upright and with square pixels."""
    shape = 1 / track.pixel_aspect if track.rotation % 180 else track.pixel_aspect
    full_width, full_height = track.upright[0] * shape, track.upright[1]
    wanted = width or round(full_width)
    return wanted, max(round(full_height * wanted / full_width), 1)


def _filters(track: Track, size: tuple[int, int]) -> list[str]:
    screen = [_TONE_MAPPING] if track.is_hdr else []
    whole = ["bwdif=mode=send_frame:deint=interlaced"] if track.is_interlaced else []
    return [*whole, *screen, f"scale={size[0]}:{size[1]}:flags=lanczos", "setsar=1"]


def _saving(job: Job) -> list[str]:
    quality = job.options.quality or _DEFAULT_QUALITY.get(job.target_format, 0)
    return {
        "png": ["-c:v", "png", "-pix_fmt", "rgb24", "-f", "image2"],
        # ffmpeg's scale goes from 2 (best) to 31.
        "jpg": ["-c:v", "mjpeg", "-q:v", str(max(round(31 - quality * 0.3), 1)), "-qmin", "1", "-f", "image2"],
        "webp": ["-c:v", "libwebp", "-quality", str(quality), "-f", "webp"],
    }[job.target_format]
