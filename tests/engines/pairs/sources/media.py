"""Films of a red and a blue second with a tone, and sounds of two seconds, in every container."""

from pathlib import Path

from tests.engines.media.media_files import FAST, SOUND, ffmpeg, lavfi, tone
from tests.engines.pairs.pair import Sample

RATE_HZ = 44_100
_FILM_CODECS: dict[str, tuple[str, ...]] = {
    "mp4": (*FAST, *SOUND),
    "mkv": (*FAST, *SOUND),
    "mov": (*FAST, *SOUND),
    "ts": (*FAST, *SOUND),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "flv": ("-c:v", "flv1", "-c:a", "libmp3lame"),
}
_SOUND_CODECS: dict[str, tuple[str, ...]] = {
    "wav": ("-c:a", "pcm_s16le"),
    "flac": ("-c:a", "flac"),
    "mp3": ("-c:a", "libmp3lame"),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus"),
    "m4a": ("-c:a", "aac"),
    "aac": ("-c:a", "aac"),
}


def film(path: Path) -> None:
    """Write 50 frames of 96 × 64 pixels, at 25 a second."""
    halves = lavfi("color=red:s=96x64:r=25:d=1", "color=blue:s=96x64:r=25:d=1", tone(440, rate=RATE_HZ))
    graph = ["-filter_complex", "[0][1]concat[v]", "-map", "[v]", "-map", "2"]
    ffmpeg(*halves, *graph, *_FILM_CODECS[path.suffix[1:]], path)


def sound(path: Path) -> None:
    """Write a tone of 440 Hz in two channels."""
    ffmpeg(*lavfi(tone(440, rate=RATE_HZ)), "-ac", 2, *_SOUND_CODECS[path.suffix[1:]], path)


FILMS = tuple(Sample(name, name, "film", film) for name in _FILM_CODECS)
SOUNDS = tuple(Sample(name, name, "sound", sound) for name in _SOUND_CODECS)
