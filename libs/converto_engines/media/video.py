"""Video to video with ffmpeg: all tracks, chapters and words are kept unless told otherwise (see `video_plan.py`)."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, ConversionError, CorruptSource
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.media import check as media_check
from converto_engines.media import ffmpeg, hardware, video_encoding, video_plan
from converto_engines.media.check import Window, Work
from converto_engines.media.ffmpeg import Ffmpeg, FfmpegRefused
from converto_engines.media.hardware import Hardware
from converto_engines.media.probe import Probe
from converto_engines.media.video_encoding import Preset, Wish
from converto_engines.media.video_plan import Choice, Plan
from converto_engines.runtime.process import Sandbox

_CONTAINERS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm", "mov": "mov"}
_ENCODED_PERCENT = 95.0
_LONGEST_SIDE = 16_384

_Side = Annotated[int, Meta(ge=16, le=_LONGEST_SIDE)]
_Moment = Annotated[float, Meta(ge=0, le=1_000_000)]


class VideoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one can choose for a video."""

    video_codec: Annotated[
        Literal["h264", "h265", "vp9", "av1", "copy"] | None,
        Meta(description="How pictures are written; copy: as they are. Default: h264, in WebM vp9"),
    ] = None
    audio_codec: Annotated[
        Literal["aac", "mp3", "ac3", "opus", "vorbis", "flac", "copy"] | None,
        Meta(description="How sound is written; copy: as it is. Default: aac, in WebM opus"),
    ] = None
    quality: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | None,
        Meta(description="CRF: smaller is better and larger; default 21 (h264), 24 (h265), 31 (vp9), 30 (av1)"),
    ] = None
    bitrate_kbps: Annotated[
        Annotated[int, Meta(ge=10, le=200_000)] | None,
        Meta(description="Of the pictures, on average; not with quality"),
    ] = None
    preset: Annotated[Preset, Meta(description="Slower makes smaller files of the same quality")] = "medium"
    width: Annotated[_Side | None, Meta(description="Pixels; with height: the box that the video fits into")] = None
    height: Annotated[_Side | None, Meta(description="Pixels; the shape is kept, sides are even")] = None
    fps: Annotated[
        Annotated[float, Meta(ge=1, le=240)] | None, Meta(description="Frames per second; default: as in the source")
    ] = None
    deinterlace: Annotated[bool, Meta(description="Make whole frames of interlaced ones")] = True
    start_s: Annotated[_Moment, Meta(description="Leave out what comes before this second")] = 0.0
    end_s: Annotated[_Moment | None, Meta(description="Leave out what comes after this second")] = None
    audio: Annotated[Literal["keep", "first", "none"], Meta(description="Which sound tracks")] = "keep"
    audio_bitrate_kbps: Annotated[
        Annotated[int, Meta(ge=8, le=768)] | None, Meta(description="Of each sound track; default by its channels")
    ] = None
    subtitles: Annotated[Literal["keep", "none"], Meta(description="Subtitle tracks")] = "keep"
    chapters: Annotated[Literal["keep", "none"], Meta(description="Chapter marks")] = "keep"
    metadata: Annotated[
        Literal["keep", "strip"], Meta(description="Title, date, place and the like; languages always stay")
    ] = "keep"
    hardware: Annotated[bool, Meta(description="Encode with the graphics card where the worker has a fitting one")] = (
        False
    )


class Video:
    """Converter of videos; see `Converter` for what its attributes mean."""

    name = "video"
    engine = "ffmpeg"
    family = Family.VIDEO
    sources: tuple[str, ...] = ffmpeg.VIDEO_SOURCES
    options: type[msgspec.Struct] = VideoOptions
    loss = 0.05
    seconds = 60.0
    is_paged = False
    losses: tuple[Loss, ...] = (
        Loss(text="fine detail, by as much as the quality says; video_codec copy keeps all of it"),
        Loss(text="interlacing: two half frames become one whole frame"),
        Loss(text="subtitles that are pictures; attached files such as fonts", targets=("mp4", "mov", "webm")),
        Loss(text="the styling of subtitles", targets=("mp4", "mov", "webm")),
        Loss(text="metadata for which the format has no field", targets=("mp4", "mov")),
        Loss(text="the cover picture", targets=("webm", "mov")),
        Loss(text="more than 8 bits per colour, unless video_codec is h265, vp9 or av1", targets=("mp4", "mkv", "mov")),
    )

    def __init__(self, box: Sandbox) -> None:
        """Take the sandbox that ffmpeg runs in."""
        self._ffmpeg = Ffmpeg(box)
        self._hardware = Hardware(self._ffmpeg)
        self.targets: tuple[str, ...] = tuple(_CONTAINERS)
        self._encoders: frozenset[str] = frozenset(video_encoding.ENCODERS.values())

    async def version(self) -> str | None:
        """Version of ffmpeg, None when it is missing; a container whose usual encoder is missing is not offered."""
        version = await self._ffmpeg.version()
        if version is None:
            return None
        self._encoders = await self._ffmpeg.encoders()
        self.targets = tuple(
            name for name in _CONTAINERS if video_encoding.ENCODERS[video_plan.VIDEO_CODECS[name][0]] in self._encoders
        )
        return version

    async def convert(self, job: Job) -> list[Product]:
        """Convert one video; what had to be left out is noted."""
        choice, window = _choice(job), _window(job)
        self._check_encoder(choice)
        probe = await self._ffmpeg.probe_source(job)
        check_window(window, probe)
        probe = await self._with_light(job, probe, choice)
        plan = video_plan.plan(probe, choice)
        product = job.folder / f"video.{job.target_format}"
        work = await self._encode(job, probe, plan, window, product)
        if lost := await media_check.lost_frames(self._ffmpeg, job, work):
            plan.left_out.append(f"{lost} damaged frames")
        elif ffmpeg.tells_of_damage(work.taken.complaints):
            job.note("The source is damaged in places; what is broken there was filled in from its neighbours")
        await self._check(job, product, work)
        for text in plan.left_out:
            job.note(f"Left out: {text}")
        job.report(100, "done")
        return [Product(path=product)]

    async def aclose(self) -> None:
        """Nothing is kept warm."""

    def _check_encoder(self, choice: Choice) -> None:
        if choice.wish is not None and video_encoding.ENCODERS[choice.wish.codec] not in self._encoders:
            raise BadOptions(f"This worker cannot write {choice.wish.codec}. Choose another video_codec")

    async def _with_light(self, job: Job, probe: Probe, choice: Choice) -> Probe:
        """The same tracks; those that x265 is to write know for which screen they were made."""
        if choice.wish is None or choice.wish.codec != "h265" or not any(track.is_hdr for track in probe.tracks):
            return probe
        tracks = list(probe.tracks)
        for place, track in enumerate(tracks):
            if track.kind == "video" and track.is_hdr:
                light = video_encoding.light_of(await self._ffmpeg.light(job, track.index))
                tracks[place] = msgspec.structs.replace(track, light=light)
        return msgspec.structs.replace(probe, tracks=tuple(tracks))

    async def _encode(self, job: Job, probe: Probe, plan: Plan, window: Window, product: Path) -> Work:
        covers = await self._cover_files(job, probe) if job.target_format == "mkv" else []
        before, after = cut_arguments(job, window)
        reading = [*_readers(plan), *self._ffmpeg.reading(job, job.source, job.source_format)]
        arguments = [*before, *reading, *plan.arguments, *self._attached(job, covers, len(plan.expected)), *after]
        writing = ["-f", _CONTAINERS[job.target_format], self._ffmpeg.writing(job, product)]
        length_s = window.length_of(probe.duration_s) if probe.duration_s else None
        hear = ffmpeg.share_of(job.report, length_s, first=0, last=_ENCODED_PERCENT, stage="converting the video")
        try:
            devices, arguments = await self._on_hardware(job, plan, arguments)
            taken = await self._ffmpeg.run(job, [*arguments, *writing], on_time=hear, devices=devices)
        except FfmpegRefused as error:
            raise ffmpeg.blamed(error) from error
        if taken.frames == 0:
            raise CorruptSource("No picture of the video can be decoded", detail=taken.complaints)
        is_encoded = job.options.video_codec != "copy"
        return Work(
            source=probe,
            expected=plan.expected,
            window=window,
            taken=taken,
            covers=len(covers),
            is_encoded=is_encoded,
        )

    async def _on_hardware(self, job: Job, plan: Plan, arguments: list[str]) -> tuple[tuple[Path, ...], list[str]]:
        """The same arguments for a graphics card, when one was asked for and proves that it can."""
        if not job.options.hardware or job.options.video_codec == "copy":
            return (), arguments
        codec = _wish(job).codec
        card = await self._hardware.find(codec, job)
        if card is None:
            plan.left_out.append("the graphics card: this worker has none for it")
            return (), arguments
        places = [place for place, expected in enumerate(plan.expected) if expected.kind == "video"]
        return card.devices, hardware.exchanged(arguments, card, places, _wish(job))

    async def _cover_files(self, job: Job, probe: Probe) -> list[Path]:
        """Cover pictures as files of their own: Matroska keeps them as attachments."""
        files = []
        for track in (track for track in probe.of("cover") if track.codec in {"mjpeg", "png"}):
            path = job.folder / f"cover-{track.index}.{'jpg' if track.codec == 'mjpeg' else 'png'}"
            reading = self._ffmpeg.reading(job, job.source, job.source_format)
            copying = ["-map", f"0:{track.index}", "-c", "copy", "-frames:v", "1", "-update", "1", "-f", "image2"]
            await self._ffmpeg.run(job, [*reading, *copying, self._ffmpeg.writing(job, path)])
            files.append(path)
        return files

    def _attached(self, job: Job, covers: list[Path], first: int) -> list[str]:
        arguments = []
        for place, path in enumerate(covers, first):
            kind = "image/jpeg" if path.suffix == ".jpg" else "image/png"
            arguments += ["-attach", self._ffmpeg.writing(job, path)]
            arguments += [f"-metadata:s:{place}", f"mimetype={kind}"]
            arguments += [f"-metadata:s:{place}", f"filename=cover{path.suffix}"]
        return arguments

    async def _check(self, job: Job, product: Path, work: Work) -> None:
        try:
            await media_check.check(self._ffmpeg, job, product, work)
        except ConversionError as error:
            if work.is_encoded or not work.taken.complaints.strip():
                raise
            said = (
                "The video is damaged, so it cannot be copied as it is. Choose a video_codec to mend what can be mended"
            )
            raise CorruptSource(said, detail=error.detail) from error


def _readers(plan: Plan) -> list[str]:
    """Which pictures are not read by ffmpeg's own readers: these know nothing of transparency in VP8 and VP9."""
    readers = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
    tracks = [expected.source for expected in plan.expected if expected.kind == "video" and expected.codec == "vp9"]
    seen = [track for track in tracks if track.has_alpha and track.codec in readers]
    return [word for track in seen for word in (f"-c:{track.index}", readers[track.codec])]


def cut_arguments(job: Job, window: Window) -> tuple[list[str], list[str]]:
    """How the part is cut out: arguments before the input and after it.

    Jumping in the source is quick and exact where the file has an index; elsewhere all is decoded from the start.
    """
    if window.is_whole:
        return [], []
    start = ["-ss", f"{window.start_s:.6f}"] if window.start_s else []
    length = [] if window.end_s is None else ["-t", f"{window.end_s - window.start_s:.6f}"]
    is_exact = job.source_format not in ffmpeg.WITHOUT_INDEX
    return (start, length) if is_exact else ([], [*start, *length])


def check_window(window: Window, probe: Probe) -> None:
    """Raise `BadOptions` for a part that the source does not have."""
    if window.end_s is not None and window.end_s <= window.start_s:
        raise BadOptions("end_s must be after start_s")
    if probe.duration_s is not None and window.start_s >= probe.duration_s:
        raise BadOptions(f"start_s is past the end: the file lasts {probe.duration_s:.1f} s")


def _window(job: Job) -> Window:
    return Window(start_s=job.options.start_s, end_s=job.options.end_s)


def _wish(job: Job) -> Wish:
    options = job.options
    return Wish(
        codec=options.video_codec or video_plan.VIDEO_CODECS[job.target_format][0],
        quality=options.quality,
        bitrate_kbps=options.bitrate_kbps,
        preset=options.preset,
        width=options.width,
        height=options.height,
        fps=options.fps,
        deinterlace=options.deinterlace,
    )


def _choice(job: Job) -> Choice:
    options, target = job.options, job.target_format
    is_copied = options.video_codec == "copy"
    if is_copied:
        _check_copied(job)
    else:
        video_encoding.check_wish(_wish(job))
        _check_allowed("video_codec", options.video_codec, video_plan.VIDEO_CODECS[target], target)
    _check_allowed("audio_codec", options.audio_codec, (*video_plan.SOUND_CODECS[target], "copy"), target)
    return Choice(
        target=target,
        wish=None if is_copied else _wish(job),
        sound=options.audio_codec or video_plan.SOUND_CODECS[target][0],
        audio=options.audio,
        subtitles=options.subtitles == "keep",
        metadata=options.metadata == "keep",
        chapters=options.chapters == "keep",
        audio_bitrate_kbps=options.audio_bitrate_kbps,
    )


def _check_copied(job: Job) -> None:
    options = job.options
    changes = ("quality", "bitrate_kbps", "width", "height", "fps")
    if named := [name for name in changes if getattr(options, name) is not None]:
        raise BadOptions(f"Pictures that are copied stay as they are: leave out {', '.join(named)} or choose a codec")
    if not _window(job).is_whole:
        raise BadOptions(
            "Copied pictures could be cut at some frames only: leave out start_s and end_s, or choose a codec"
        )


def _check_allowed(option: str, chosen: str | None, allowed: tuple[str, ...], target: str) -> None:
    if chosen is not None and chosen not in allowed:
        raise BadOptions(f"{target} files are not made with {option} {chosen} here. Possible: {', '.join(allowed)}")
