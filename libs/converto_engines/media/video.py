"""Video to video with ffmpeg; all tracks, chapters and metadata are kept by default (see `video_plan.py`)."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, ConversionError, CorruptSource, EngineCrashed, OutputInvalid
from converto_core.formats import Family
from converto_engines.converter import Job, Product
from converto_engines.media import check, ffmpeg, hardware, video_encoding, video_plan
from converto_engines.media.check import CompletedRun
from converto_engines.media.ffmpeg import FfmpegFailed
from converto_engines.media.ffmpeg_converter import FfmpegConverter
from converto_engines.media.hardware import Candidates, Hardware, candidates_for
from converto_engines.media.probe import Probe
from converto_engines.media.video_options import VideoOptions, choice_of, encoding_settings, window_of
from converto_engines.media.video_plan import Choice, Plan
from converto_engines.media.window import Window, check_window, cut_arguments
from converto_engines.runtime.process import Sandbox

_CONTAINERS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm", "mov": "mov"}
_ENCODED_PERCENT = 95.0
_LONGEST_SIDE = 16_384

_Side = Annotated[int, Meta(ge=16, le=_LONGEST_SIDE)]
_Moment = Annotated[float, Meta(ge=0, le=1_000_000)]


class Video(FfmpegConverter):
    """Converter of videos; see `Converter` for what its attributes mean."""

    name = "video"
    family = Family.VIDEO
    sources: tuple[str, ...] = ffmpeg.VIDEO_SOURCES
    options: type[msgspec.Struct] = VideoOptions
    loss = 0.05
    seconds = 60.0
    losses: tuple[Loss, ...] = (
        Loss(text="fine detail, by as much as the quality says; video_codec copy keeps all of it"),
        Loss(text="interlacing: two half frames become one whole frame"),
        Loss(text="subtitles that are pictures; attached files such as fonts", targets=("mp4", "mov", "webm")),
        Loss(text="the styling of subtitles", targets=("mp4", "mov", "webm")),
        Loss(text="metadata for which the format has no field", targets=("mp4", "mov")),
        Loss(text="the cover picture", targets=("webm", "mov")),
        Loss(text="a high dynamic range, unless video_codec is h265, vp9 or av1", targets=("mp4", "mkv", "mov")),
        Loss(text="transparency: the background becomes white", targets=("mp4", "mov")),
        Loss(text="transparency, unless video_codec is vp9", targets=("mkv",)),
        Loss(text="more than 8 bits per colour, unless video_codec is h265, vp9 or av1", targets=("mp4", "mkv", "mov")),
    )

    def __init__(self, sandbox: Sandbox, *, hardware_candidates: Candidates = candidates_for) -> None:
        """Take the sandbox that runs ffmpeg, and the source of hardware encoders to try."""
        super().__init__(sandbox)
        self._hardware = Hardware(self._ffmpeg, hardware_candidates)
        self.targets: tuple[str, ...] = tuple(_CONTAINERS)
        self._encoders: frozenset[str] = frozenset(video_encoding.ENCODERS.values())

    async def version(self) -> str | None:
        """Return ffmpeg's version, or None when it is missing; offer only containers whose default encoder is there."""
        version = await self._ffmpeg.version()
        if version is None:
            return None
        self._encoders = await self._ffmpeg.encoders()
        self.targets = tuple(
            name for name in _CONTAINERS if video_encoding.ENCODERS[video_plan.VIDEO_CODECS[name][0]] in self._encoders
        )
        return version

    async def convert(self, job: Job) -> list[Product]:
        """Convert one video and note what was left out."""
        choice, window = choice_of(job), window_of(job)
        self._check_encoder(choice)
        probe = await self._ffmpeg.probe_source(job)
        check_window(window, probe)
        probe = await self._with_hdr_metadata(job, probe, choice)
        probe = await self._with_hidden_parts(job, probe, choice)
        product = job.folder / f"video.{job.target_format}"
        try:
            plan = await self._make(job, probe, choice, window, product)
        except (CorruptSource, EngineCrashed, FfmpegFailed, OutputInvalid):
            if not choice.may_copy:
                raise
            # Nobody asked for the copy, and an encoder repairs what a copy keeps.
            choice = msgspec.structs.replace(choice, may_copy=False)
            plan = await self._make(job, probe, choice, window, product)
        for text in (*plan.notes, *(f"Left out: {text}" for text in plan.left_out)):
            job.note(text)
        job.report(100, "done")
        return [Product(path=product)]

    async def _make(self, job: Job, probe: Probe, choice: Choice, window: Window, product: Path) -> Plan:
        """Plan the tracks, write them, and check the result; returns the plan with all notes."""
        plan = video_plan.plan(probe, choice)
        completed = await self._encode(job, probe, plan, window, product)
        if lost := await check.lost_frames(self._ffmpeg, job, completed):
            plan.left_out.append(f"{lost} damaged frames")
        elif ffmpeg.reports_damage(completed.run.log):
            plan.notes.append(ffmpeg.DAMAGE_NOTE)
        await self._check(job, product, completed)
        return plan

    def _check_encoder(self, choice: Choice) -> None:
        if not choice.must_copy and video_encoding.ENCODERS[choice.settings.codec] not in self._encoders:
            raise BadOptions(f"This worker cannot encode {choice.settings.codec}. Choose another video_codec")

    async def _with_hdr_metadata(self, job: Job, probe: Probe, choice: Choice) -> Probe:
        """Add the HDR metadata of their frames to tracks that keep a high dynamic range when encoded."""
        if choice.must_copy or choice.settings.codec == "h264":
            return probe
        tracks = list(probe.tracks)
        for place, track in enumerate(tracks):
            if track.kind == "video" and track.is_hdr:
                hdr_metadata = video_encoding.hdr_metadata_of(
                    await self._ffmpeg.first_frame_side_data(job, track.index)
                )
                tracks[place] = msgspec.structs.replace(track, hdr_metadata=hdr_metadata)
        return msgspec.structs.replace(probe, tracks=tuple(tracks))

    async def _with_hidden_parts(self, job: Job, probe: Probe, choice: Choice) -> Probe:
        """Add how much the edit lists of an MP4 hide of the tracks that may be copied."""
        is_copied = choice.must_copy or choice.may_copy or choice.audio_codec == "copy"
        if not is_copied or job.source_format not in {"mp4", "mov"}:
            return probe
        hidden = await self._ffmpeg.hidden_parts(job)
        tracks = [msgspec.structs.replace(track, hidden_s=hidden.get(track.index, 0.0)) for track in probe.tracks]
        return msgspec.structs.replace(probe, tracks=tuple(tracks))

    async def _encode(self, job: Job, probe: Probe, plan: Plan, window: Window, product: Path) -> CompletedRun:
        covers = await self._cover_files(job, probe) if job.target_format == "mkv" else []
        before, after = cut_arguments(job, window)
        encoded = [expected.source for expected in plan.expected if not expected.is_copied]
        reading = [*video_encoding.decoders(encoded), *self._ffmpeg.reading(job, job.source, job.source_format)]
        arguments = [*before, *reading, *plan.arguments, *self._attached(job, covers, len(plan.expected)), *after]
        writing = ["-f", _CONTAINERS[job.target_format], self._ffmpeg.writing(job, product)]
        length_s = window.length_of(probe.duration_s) if probe.duration_s else None
        on_time = ffmpeg.progress_between(
            job.report, length_s, first=0, last=_ENCODED_PERCENT, stage="converting the video"
        )
        try:
            devices, arguments = await self._on_hardware(job, plan, arguments)
            run = await self._ffmpeg.run(job, [*arguments, *writing], on_time=on_time, devices=devices)
        except FfmpegFailed as error:
            raise ffmpeg.translated(error) from error
        if run.frames == 0:
            raise CorruptSource("No frame of the video can be decoded", detail=run.log)
        return CompletedRun(
            source=probe,
            expected=plan.expected,
            window=window,
            run=run,
            covers=len(covers),
            is_encoded=not any(expected.is_copied for expected in plan.expected if expected.kind == "video"),
        )

    async def _on_hardware(self, job: Job, plan: Plan, arguments: list[str]) -> tuple[tuple[Path, ...], list[str]]:
        """Return devices and arguments for a hardware encoder, if requested and working; else the same arguments."""
        if not job.options.hardware or plan.copies_pictures:
            return (), arguments
        if any(expected.source.is_hdr for expected in plan.expected) and encoding_settings(job).codec != "h264":
            plan.left_out.append("hardware encoding: it would lose the high dynamic range (HDR)")
            return (), arguments
        codec = encoding_settings(job).codec
        encoder = await self._hardware.find(codec, job)
        if encoder is None:
            plan.left_out.append("hardware encoding: this worker has no suitable graphics card")
            return (), arguments
        places = [place for place, expected in enumerate(plan.expected) if expected.kind == "video"]
        return encoder.devices, hardware.with_hardware_encoder(arguments, encoder, places, encoding_settings(job))

    async def _cover_files(self, job: Job, probe: Probe) -> list[Path]:
        """Extract cover pictures to files, because Matroska stores them as attachments."""
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

    async def _check(self, job: Job, product: Path, completed: CompletedRun) -> None:
        try:
            await check.check(self._ffmpeg, job, product, completed)
        except ConversionError as error:
            if completed.is_encoded or not completed.run.log.strip():
                raise
            message = "The video is damaged and cannot be copied. Choose a video_codec to repair it where possible"
            raise CorruptSource(message, detail=error.detail) from error
