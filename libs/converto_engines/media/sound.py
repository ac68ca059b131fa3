"""Sound, or the sound of a video, to a sound file with one track, its metadata and its cover, with ffmpeg."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, CorruptSource
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.media import check, ffmpeg, loudness, sound_encoding
from converto_engines.media.check import CompletedRun
from converto_engines.media.ffmpeg import FfmpegFailed
from converto_engines.media.ffmpeg_converter import FfmpegConverter
from converto_engines.media.probe import Probe, Track
from converto_engines.media.source_checks import check_readable
from converto_engines.media.video_plan import Expected
from converto_engines.media.window import End, Start, Window, check_window, cut_arguments
from converto_engines.runtime.process import Sandbox

# Target: muxer, codec, further arguments.
_TARGETS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "mp3": ("mp3", "mp3", ("-id3v2_version", "3")),  # Windows does not read version 4
    "m4a": ("ipod", "aac", ("-movflags", "+faststart")),
    "aac": ("adts", "aac", ()),
    "opus": ("opus", "opus", ()),
    "ogg": ("ogg", "vorbis", ()),
    "flac": ("flac", "flac", ()),
    "wav": ("wav", "pcm", ("-rf64", "auto")),  # a plain WAV ends at 4 GB
}
_WITH_COVER: Final = frozenset({"mp3", "m4a", "flac"})
_TAGGED_BY_TRACK: Final = frozenset({"ogg", "opus"})
_ENCODED_PERCENT = 95.0

_Rate = Literal[8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000]


class SoundOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of sound."""

    bitrate_kbps: Annotated[
        Annotated[int, Meta(ge=8, le=768)] | None,
        Meta(description="Default: variable bitrate (mp3, ogg), else a fixed bitrate per channel"),
    ] = None
    quality: Annotated[
        Annotated[int, Meta(ge=0, le=9)] | None, Meta(description="For mp3 and ogg: 9 is best; not with bitrate_kbps")
    ] = None
    sample_rate_hz: Annotated[_Rate | None, Meta(description="Default: as in the source; opus is always 48000")] = None
    channels: Annotated[Annotated[int, Meta(ge=1, le=8)] | None, Meta(description="1 is mono, 2 is stereo")] = None
    loudness: Annotated[
        Annotated[float, Meta(ge=-70, le=-5)] | None,
        Meta(description="Average loudness in LUFS (EBU R 128), such as -23 for broadcast or -16 for podcasts"),
    ] = None
    track: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None,
        Meta(description="Sound track of a video, counted from 1; default: the main one"),
    ] = None
    start_s: Start = 0.0
    end_s: End = None
    metadata: Annotated[
        Literal["keep", "strip"],
        Meta(description="Whether to keep title, artist, cover picture, chapters and other metadata"),
    ] = "keep"


class Sound(FfmpegConverter):
    """Converter of sound; see `Converter` for what its attributes mean."""

    name = "sound"
    family = Family.AUDIO
    sources: tuple[str, ...] = (*ffmpeg.SOUND_SOURCES, *ffmpeg.VIDEO_SOURCES)
    options: type[msgspec.Struct] = SoundOptions
    loss = 0.1
    seconds = 5.0
    losses: tuple[Loss, ...] = (
        Loss(text="the picture; of several sound tracks all but one", sources=ffmpeg.VIDEO_SOURCES),
        Loss(text="fine detail, by as much as the bitrate says", targets=("mp3", "m4a", "aac", "opus", "ogg")),
        Loss(text="the cover picture", targets=("aac", "opus", "ogg", "wav")),
        Loss(text="title, artist and all other metadata", targets=("aac",)),
        Loss(text="metadata for which the format has no field", targets=("wav", "m4a")),
        Loss(text="all but two channels", targets=("mp3",)),
        Loss(text="what recordings of 32 bits hold beyond 24 bits", sources=("wav",), targets=("flac",)),
    )

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that runs ffmpeg."""
        super().__init__(sandbox)
        self.targets: tuple[str, ...] = tuple(_TARGETS)

    async def version(self) -> str | None:
        """Return ffmpeg's version, or None when it is missing; offer only targets whose encoder is installed."""
        version = await self._ffmpeg.version()
        if version is None:
            return None
        encoders = await self._ffmpeg.encoders()
        self.targets = tuple(
            target
            for target, (_, codec, _) in _TARGETS.items()
            if sound_encoding.ENCODERS.get(codec, "pcm_s16le") in encoders
        )
        return version

    async def convert(self, job: Job) -> list[Product]:
        """Convert one sound track and note what was left out."""
        window = Window(start_s=job.options.start_s, end_s=job.options.end_s)
        _check_options(job)
        probe = await self._ffmpeg.probe_source(job)
        check_window(window, probe)
        track = _chosen_track(job, probe)
        covers = _covers(job, probe)
        left_out = _left_out(job, probe, covers)
        product = job.folder / f"sound.{job.target_format}"
        run = await self._encode(job, probe, window, (track, *covers), product)
        if run.duration_s <= 0:
            raise CorruptSource("No sound of the file can be decoded", detail=run.log)
        expected = [_expected(job, track), *(_kept_cover(cover) for cover in covers)]
        completed = CompletedRun(source=probe, expected=expected, window=window, run=run)
        await check.check(self._ffmpeg, job, product, completed)
        for text in left_out:
            job.note(f"Left out: {text}")
        job.report(100, "done")
        return [Product(path=product)]

    async def _encode(
        self, job: Job, probe: Probe, window: Window, tracks: tuple[Track, ...], product: Path
    ) -> ffmpeg.RunResult:
        before, after = cut_arguments(job, window)
        reading = [*before, *self._ffmpeg.reading(job, job.source, job.source_format)]
        length_s = window.length_of(probe.duration_s) if probe.duration_s else None
        try:
            steps = await self._loudness_steps(job, [*reading, "-map", f"0:{tracks[0].index}", *after], length_s)
            first = 0.0 if not steps else _ENCODED_PERCENT / 2
            on_time = ffmpeg.progress_between(
                job.report, length_s, first=first, last=_ENCODED_PERCENT, stage="converting the sound"
            )
            writing = ["-f", _TARGETS[job.target_format][0], self._ffmpeg.writing(job, product)]
            arguments = [*reading, *_mapped(job, tracks, steps), *after, *writing]
            return await self._ffmpeg.run(job, arguments, on_time=on_time)
        except FfmpegFailed as error:
            if job.options.bitrate_kbps is not None and "opening encoder" in error.detail:
                raise BadOptions(
                    "bitrate_kbps is not possible with this sample rate and number of channels. Choose another one"
                ) from error
            raise ffmpeg.translated(error) from error

    async def _loudness_steps(self, job: Job, reading: list[str], length_s: float | None) -> list[str]:
        """Measure the loudness and return the filter that normalises it; none for silence."""
        if job.options.loudness is None:
            return []
        on_time = ffmpeg.progress_between(
            job.report, length_s, first=0, last=_ENCODED_PERCENT / 2, stage="measuring the loudness"
        )
        measuring = ["-af", loudness.measure_filter(job.options.loudness), "-f", "null", "-"]
        run = await self._ffmpeg.run(job, [*reading, *measuring], on_time=on_time, level="info")
        measured = loudness.parse_measurement(run.log)
        return [] if measured is None else [loudness.normalise_filter(job.options.loudness, measured)]


def _check_options(job: Job) -> None:
    options, codec = job.options, _TARGETS[job.target_format][1]
    if options.quality is not None and options.bitrate_kbps is not None:
        raise BadOptions("Set quality or bitrate_kbps, not both")
    if options.quality is not None and codec not in {"mp3", "vorbis"}:
        raise BadOptions(f"quality applies only to mp3 and ogg. Use bitrate_kbps for {job.target_format}")
    if options.bitrate_kbps is not None and codec in {"flac", "pcm"}:
        raise BadOptions(f"{job.target_format} is lossless. Remove bitrate_kbps")
    sound_encoding.check(codec, sample_rate_hz=options.sample_rate_hz, channels=options.channels)


def _chosen_track(job: Job, probe: Probe) -> Track:
    check_readable(probe, "audio")
    readable = probe.readable("audio")
    wanted: int | None = job.options.track
    if wanted is None:
        return next((track for track in readable if track.is_default), readable[0])
    if wanted > len(readable):
        raise BadOptions(f"track: the file has only {len(readable)} sound tracks, not {wanted}")
    return readable[wanted - 1]


def _covers(job: Job, probe: Probe) -> tuple[Track, ...]:
    if job.target_format not in _WITH_COVER or job.options.metadata == "strip":
        return ()
    return tuple(track for track in probe.of("cover") if track.codec in {"mjpeg", "png"})


def _left_out(job: Job, probe: Probe, covers: tuple[Track, ...]) -> list[str]:
    left_out = []
    if job.options.track is None and (more := len(probe.readable("audio")) - 1):
        left_out.append(f"{more} more sound track{'' if more == 1 else 's'}")
    if job.options.metadata == "keep" and len(probe.of("cover")) > len(covers):
        left_out.append("the cover picture")
    return left_out


def _expected(job: Job, track: Track) -> Expected:
    codec = _TARGETS[job.target_format][1]
    if codec == "pcm":
        codec = dict(sound_encoding.encoder("pcm", track))["c"]
    return Expected(kind="audio", codec=codec, source=track)


def _kept_cover(cover: Track) -> Expected:
    return Expected(kind="cover", codec=cover.codec, source=cover)


def _mapped(job: Job, tracks: tuple[Track, ...], steps: list[str]) -> list[str]:
    options, (_, codec, own) = job.options, _TARGETS[job.target_format]
    track, *covers = tracks
    arguments = ["-map", f"0:{track.index}"]
    encoding = sound_encoding.encoder(codec, track, bitrate_kbps=options.bitrate_kbps, quality=options.quality)
    for name, value in encoding:
        arguments += [f"-{name}:0", value]
    layout = [value for name, value in sound_encoding.layout(codec, track) if options.channels is None]
    if filters := [*steps, *layout]:
        arguments += ["-filter:0", ",".join(filters)]
    # Always set, because some filters change the rate.
    arguments += ["-ar", str(options.sample_rate_hz or sound_encoding.rate_for(codec, track.sample_rate_hz))]
    arguments += [] if options.channels is None else ["-ac", str(options.channels)]
    for place, cover in enumerate(covers, 1):
        arguments += ["-map", f"0:{cover.index}", f"-c:{place}", "copy", f"-disposition:{place}", "attached_pic"]
    return [*arguments, *_metadata(job, track), *own]


def _metadata(job: Job, track: Track) -> list[str]:
    if job.options.metadata == "strip":
        return ["-map_metadata", "-1", "-map_chapters", "-1"]
    # Ogg stores title and artist in the track, other formats in the file.
    source = f"0:s:{track.index}" if job.source_format in _TAGGED_BY_TRACK else "0"
    return ["-map_metadata:g", source, "-map_chapters", "0"]
