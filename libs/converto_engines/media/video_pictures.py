"""Video to one frame (PNG, JPEG, WebP) or to a short animated GIF, with ffmpeg."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, CorruptSource, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.media import check, ffmpeg
from converto_engines.media.ffmpeg import Ffmpeg, FfmpegFailed
from converto_engines.media.ffmpeg_converter import FfmpegConverter
from converto_engines.media.probe import Probe, Track
from converto_engines.media.source_checks import check_readable
from converto_engines.media.video_encoding import decoders, tone_mapping, white_background
from converto_engines.media.window import Moment, Start, Window, check_window, cut_arguments

_DEFAULT_AT = 0.1  # share of the length; the first frame is often black
_MAX_GIF_S = 60.0
_SHORTENED = f"what follows, because a GIF lasts at most {_MAX_GIF_S:.0f} s. Choose another part with start_s and end_s"
_LAST_FRAMES_S = 2.0  # longer than one frame of any common video
_GIF_WIDTH, _GIF_FPS = 480, 12.0
_DEFAULT_QUALITY = {"jpg": 85, "webp": 80}
_WITHOUT_ALPHA = frozenset({"jpg"})

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
        Meta(
            description=f"End of the part to convert, in seconds; default: {_MAX_GIF_S:.0f} s later, the longest part"
        ),
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
    losses: tuple[Loss, ...] = (
        Loss(text="movement and sound: one frame is kept"),
        Loss(text="transparency: the background becomes white", targets=("jpg",)),
        Loss(text="a high dynamic range, which is mapped to the colours of common screens"),
    )

    async def convert(self, job: Job) -> list[Product]:
        """Extract one frame, upright and with square pixels."""
        probe = await self._ffmpeg.probe_source(job)
        track = _main_track(probe)
        at_s = _moment(job, probe)
        size = _size(track, job.options.width)
        product = job.folder / f"frame.{job.target_format}"
        job.report(20, "extracting the frame")
        log = await self._take(job, track, at_s, product)
        if log is None:
            log = await self._take_other(job, track, product)
        if log is None:
            raise CorruptSource("No frame of the video can be decoded")
        await check_picture(self._ffmpeg, job, product, size)
        if ffmpeg.reports_damage(log):
            job.note(ffmpeg.DAMAGE_NOTE)
        for text in _left_out(job, track):
            job.note(f"Left out: {text}")
        return [Product(path=product)]

    async def _take_other(self, job: Job, track: Track, product: Path) -> str | None:
        """Extract the last frame before the chosen time, which often lies after it at the end, or the first frame."""
        wanted: float | None = job.options.at_s
        if wanted is None:
            return await self._take(job, track, 0.0, product)
        return await self._take(job, track, max(wanted - _LAST_FRAMES_S, 0.0), product, is_last=True)

    async def _take(self, job: Job, track: Track, at_s: float, product: Path, *, is_last: bool = False) -> str | None:
        """Extract the frame at a time, or the last one; return the log, or None when there is no frame."""
        before, after = _seeking(job, at_s)
        reading = [*decoders([track]), *self._ffmpeg.reading(job, job.source, job.source_format)]
        filters = ",".join(_filters(job, track, _size(track, job.options.width)))
        count = [] if is_last else ["-frames:v", "1"]  # each frame replaces the one before
        one = ["-map", f"0:{track.index}", *count, "-update", "1", "-vf", filters, "-map_metadata", "-1"]
        saving = _saving(job, is_transparent=_keeps_alpha(job, track))
        arguments = [*before, *reading, *one, *after, *saving, self._ffmpeg.writing(job, product)]
        try:
            run = await self._ffmpeg.run(job, arguments)
        except FfmpegFailed as error:
            raise ffmpeg.translated(error) from error
        return run.log if run.frames else None


class VideoGif(FfmpegConverter):
    """Converter of a video to an animated GIF; see `Converter` for what its attributes mean."""

    name = "video-gif"
    family = Family.VIDEO
    sources: tuple[str, ...] = ffmpeg.VIDEO_SOURCES
    targets: tuple[str, ...] = ("gif",)
    options: type[msgspec.Struct] = GifOptions
    loss = 0.8  # more than `VideoFrame`, so that chains to a still picture prefer one frame
    seconds = 10.0
    losses: tuple[Loss, ...] = (
        Loss(text="sound, all but 256 colours, and frames above the chosen rate"),
        Loss(text="soft edges of transparency: each pixel becomes either clear or opaque"),
        Loss(text=f"what follows the first {_MAX_GIF_S:.0f} s, unless start_s and end_s choose another part"),
    )

    async def convert(self, job: Job) -> list[Product]:
        """Find the best 256 colours of all frames, then draw the frames with them."""
        window = Window(start_s=job.options.start_s, end_s=job.options.end_s)
        probe = await self._ffmpeg.probe_source(job)
        check_window(window, probe)
        track = _main_track(probe)
        end_s = track.end_s or probe.duration_s or 0.0
        window, is_shortened = _gif_window(window, end_s)
        length_s = window.length_of(end_s)
        size = _size(track, job.options.width or min(_GIF_WIDTH, track.upright[0]))
        fps = job.options.fps or min(_GIF_FPS, track.frame_rate or _GIF_FPS)
        graph = ",".join([f"[0:{track.index}]fps={fps:g}", *_filters(job, track, size)])
        product = job.folder / "animation.gif"
        before, after = cut_arguments(job, window)
        reading = [*before, *decoders([track]), *self._ffmpeg.reading(job, job.source, job.source_format)]
        try:
            run = await self._draw(job, reading, graph, product, after=after, length_s=length_s)
        except FfmpegFailed as error:
            raise ffmpeg.translated(error) from error
        if run.frames == 0:
            raise CorruptSource("No frame of the video can be decoded", detail=run.log)
        await check_picture(self._ffmpeg, job, product, size, frames=run.frames)
        slack_s = max(2 / fps, 0.05 * length_s) + 0.02
        if abs(run.duration_s - length_s) > slack_s:
            await self._check_source_length(job, track, window, run, slack_s=slack_s)
        if ffmpeg.reports_damage(run.log):
            job.note(ffmpeg.DAMAGE_NOTE)
        for text in [*([_SHORTENED] if is_shortened else []), *_left_out(job, track)]:
            job.note(f"Left out: {text}")
        return [Product(path=product)]

    async def _check_source_length(
        self, job: Job, track: Track, window: Window, run: ffmpeg.RunResult, *, slack_s: float
    ) -> None:
        """Tell a source that is shorter than it says from an animation that is too short."""
        packets_s = (await self._ffmpeg.scan(job, track.index)).duration_s
        if abs(run.duration_s - window.length_of(packets_s)) > slack_s:
            detail = f"{run.duration_s} s, but the source's packets last {packets_s} s"
            raise OutputInvalid("The animation and the video differ in length", detail=detail)
        check.check_end(job, track.end_s or 0.0, packets_s)

    async def _draw(
        self, job: Job, reading: list[str], graph: str, product: Path, *, after: list[str], length_s: float
    ) -> ffmpeg.RunResult:
        # Two runs instead of one with `split`, which keeps every frame in memory until the palette is known.
        palette = job.folder / "palette.png"
        palette_graph = ["-filter_complex", f"{graph},palettegen=stats_mode=full[palette]", "-map", "[palette]"]
        one = ["-frames:v", "1", "-update", "1", "-f", "image2", self._ffmpeg.writing(job, palette)]
        on_time = ffmpeg.progress_between(job.report, length_s, first=0, last=45, stage="choosing the colours")
        await self._ffmpeg.run(job, [*reading, *palette_graph, *after, *one], on_time=on_time)
        if not await asyncio.to_thread(_is_there, palette):
            raise CorruptSource("No frame of the video can be decoded")
        reading = [*reading, *self._ffmpeg.reading(job, palette, "png")]
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
    check_readable(probe, "video")
    readable = probe.readable("video")
    return next((track for track in readable if track.is_default), readable[0])


def _moment(job: Job, probe: Probe) -> float:
    duration_s, wanted = probe.duration_s, job.options.at_s
    if wanted is None:
        return (duration_s or 0.0) * _DEFAULT_AT
    if duration_s is not None and wanted > duration_s:
        raise BadOptions(f"at_s is after the end: the video lasts {duration_s:.1f} s")
    return float(wanted)


def _seeking(job: Job, at_s: float) -> tuple[list[str], list[str]]:
    """Return the arguments before and after the input that go to a time; only a chosen time has to be exact."""
    if job.options.at_s is None:
        return (["-ss", f"{at_s:.6f}"] if at_s else []), []
    return cut_arguments(job, Window(start_s=at_s))


def _gif_window(window: Window, end_s: float) -> tuple[Window, bool]:
    """Return the part to convert, and whether it was shortened; raises `BadOptions` for a chosen part too long."""
    length_s = window.length_of(end_s)
    if length_s <= _MAX_GIF_S:
        return window, False
    if window.end_s is not None:
        raise BadOptions(
            f"A GIF of {length_s:.0f} s is too long. Select at most {_MAX_GIF_S:.0f} s with start_s and end_s"
        )
    return Window(start_s=window.start_s, end_s=window.start_s + _MAX_GIF_S), True


def _size(track: Track, width: int | None) -> tuple[int, int]:
    """Return the display size: upright and with square pixels."""
    shape = 1 / track.pixel_aspect if track.rotation % 180 else track.pixel_aspect
    full_width, full_height = track.upright[0] * shape, track.upright[1]
    wanted = width or round(full_width)
    return wanted, max(round(full_height * wanted / full_width), 1)


def _keeps_alpha(job: Job, track: Track) -> bool:
    return track.has_alpha and not track.is_hdr and job.target_format not in _WITHOUT_ALPHA


def _left_out(job: Job, track: Track) -> list[str]:
    is_filled = track.has_alpha and not _keeps_alpha(job, track)
    screen = ["the high dynamic range (HDR), mapped to common screens"] if track.is_hdr else []
    return [*screen, *(["transparency: the background is white"] if is_filled else [])]


def _filters(job: Job, track: Track, size: tuple[int, int]) -> list[str]:
    ground = white_background(track) if track.has_alpha and not _keeps_alpha(job, track) else []
    whole = ["bwdif=mode=send_frame:deint=interlaced"] if track.is_interlaced else []
    screen = tone_mapping(track) if track.is_hdr else []
    # JPEG has a colour matrix of its own; by way of RGB, colours are not written by that of the film.
    plain = ["format=rgb24"] if job.target_format == "jpg" else []
    return [*ground, *whole, *screen, f"scale={size[0]}:{size[1]}:flags=lanczos", "setsar=1", *plain]


def _saving(job: Job, *, is_transparent: bool) -> list[str]:
    quality = job.options.quality or _DEFAULT_QUALITY.get(job.target_format, 0)
    return {
        "png": ["-c:v", "png", "-pix_fmt", "rgba" if is_transparent else "rgb24", "-f", "image2"],
        # ffmpeg's scale goes from 2 (best) to 31.
        "jpg": ["-c:v", "mjpeg", "-q:v", str(max(round(31 - quality * 0.3), 1)), "-qmin", "1", "-f", "image2"],
        "webp": [
            "-c:v",
            "libwebp",
            "-pix_fmt",
            "bgra",
            "-quality",
            str(quality),
            "-f",
            "webp",
        ],
    }[job.target_format]
