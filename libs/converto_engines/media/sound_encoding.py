"""ffmpeg options that encode one sound track: encoder, bitrate or quality, sample format, channels."""

from typing import Final

from converto_core.errors import BadOptions
from converto_engines.media.probe import Track

ENCODERS: Final = {
    "aac": "aac",
    "mp3": "libmp3lame",
    "ac3": "ac3",
    "opus": "libopus",
    "vorbis": "libvorbis",
    "flac": "flac",
}
LOSSLESS: Final = frozenset({"flac", "alac", "wavpack", "tta", "truehd", "mlp", "ape"})
# Transparent to most listeners per channel, and the encoder's maximum for all channels.
_KBPS_PER_CHANNEL = {"aac": 96, "ac3": 96, "opus": 64}
_MAX_KBPS = {"aac": 768, "mp3": 320, "ac3": 640, "opus": 512, "vorbis": 500}
_RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (8000, 12000, 16000, 24000, 48000),
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000),
}
_MAX_CHANNELS = {"mp3": 2, "ac3": 6, "opus": 8, "aac": 8, "vorbis": 8, "flac": 8}
_LAYOUTS = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"
_VBR = {"mp3": "9876543210", "vorbis": "0123456789"}
# About 190 and 160 kbit/s for stereo, scaled by the encoder to the sample rate and the channels.
_DEFAULT_QUALITY = {"mp3": 7, "vorbis": 5}


def is_lossless(codec: str) -> bool:
    """Return whether the codec is lossless."""
    return codec in LOSSLESS or codec.startswith("pcm_")


def encoder(
    codec: str, track: Track, *, bitrate_kbps: int | None = None, quality: int | None = None
) -> list[tuple[str, str]]:
    """Return encoder options for one output track; `quality` goes from 0 to 9 (best)."""
    if codec == "pcm":
        return [("c", _pcm(track))]
    options = [("c", ENCODERS[codec])]
    if codec == "flac":
        # ffmpeg writes 24-bit FLAC from 32-bit samples.
        return [*options, ("sample_fmt", "s32" if _is_exact(track) and track.bits > 16 else "s16")]
    if codec in _VBR and bitrate_kbps is None:
        return [*options, ("q", _VBR[codec][_DEFAULT_QUALITY[codec] if quality is None else quality])]
    kbps = bitrate_kbps or _KBPS_PER_CHANNEL[codec] * max(track.channels, 1)
    return [*options, ("b", f"{min(kbps, _MAX_KBPS[codec])}k")]


def layout(codec: str, track: Track) -> list[tuple[str, str]]:
    """Return a filter to the channel layouts that libopus accepts; it refuses others, such as 5.1(side)."""
    return [("filter", f"aformat=channel_layouts={_LAYOUTS}")] if codec == "opus" and track.channels > 2 else []


def check(codec: str, *, sample_rate_hz: int | None, channels: int | None) -> None:
    """Raise `BadOptions` for a sample rate or number of channels that the codec does not support."""
    rates = _RATES.get(codec)
    if sample_rate_hz is not None and rates is not None and sample_rate_hz not in rates:
        raise BadOptions(f"{codec} does not support {sample_rate_hz} Hz. Choose one of {', '.join(map(str, rates))}")
    most = _MAX_CHANNELS.get(codec, 8)
    if channels is not None and channels > most:
        raise BadOptions(f"channels: {codec} supports at most {most}")


def rate_for(codec: str, rate_hz: int) -> int:
    """Return the source's sample rate, or the highest lower one that the codec supports."""
    rates = _RATES.get(codec, ())
    return max((rate for rate in rates if rate <= rate_hz), default=rate_hz)


def _is_exact(track: Track) -> bool:
    return is_lossless(track.codec) and track.bits > 0


def _pcm(track: Track) -> str:
    """Return PCM of the source's bit depth; 16 bits for a lossy source."""
    if not _is_exact(track):
        return "pcm_s16le"
    if track.is_float:
        return "pcm_f64le" if track.bits > 32 else "pcm_f32le"
    if track.bits <= 8:
        return "pcm_u8"
    return "pcm_s16le" if track.bits <= 16 else "pcm_s24le" if track.bits <= 24 else "pcm_s32le"
