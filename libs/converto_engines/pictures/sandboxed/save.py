"""Writes a picture in the target format and verifies it by decoding it again."""

from typing import Any

from converto_engines.pictures.sandboxed import libvips
from converto_engines.pictures.sandboxed.source import UNSAFE_LOADERS, Size
from converto_engines.runtime.sandboxed.protocol import Refused

SAVERS = {
    "png": "pngsave",
    "jpg": "jpegsave",
    "webp": "webpsave",
    "avif": "heifsave",
    "tiff": "tiffsave",
    "gif": "gifsave",
    "heic": "heifsave",
    "jp2": "jp2ksave",
    "jxl": "jxlsave",
    "bmp": "magicksave",
    "ico": "pngsave",  # an icon file holds PNG pictures
}
_UNSAFE_SAVERS = {"jxl": "VipsForeignSaveJxl", "jp2": "VipsForeignSaveJp2k", "bmp": "VipsForeignSaveMagick"}
_DEFAULT_QUALITY = {"jpg": 85, "webp": 80, "avif": 60, "heic": 60, "jp2": 75, "jxl": 85}
_METADATA = ("exif-", "xmp-", "iptc-", "photoshop-", "gif-comment", "png-comment")
"""Removed by us: libvips 8.14 writes place and camera into WebP even with `strip`."""
_JXL_EFFORT = 5  # a third of the time of 7, for files hardly larger
_PROBE_SIDE = 64  # pixels; some encoders refuse less
_SHRINK_ON_LOAD = {"jpg": "shrink=8", "webp": "scale=0.125"}
"""Load options for verifying: every bit is still decoded, but to fewer pixels, which halves the time."""
_MIN_SHRINK_SIDE = 64  # pixels; an eighth of much less would be nothing


def write(library: libvips.Library, picture: libvips.Picture, request: dict[str, Any]) -> None:
    """Encode the picture; a saver that libvips marks as unsafe is enabled only now."""
    target = request["target_format"]
    library.also_allow(*([_UNSAFE_SAVERS[target]] if target in _UNSAFE_SAVERS else []))
    if request["options"].get("strip"):
        picture = picture.without(*_METADATA)
    picture.write(request["output"], _save_options(target, request["options"]))


def _save_options(target_format: str, options: dict[str, Any]) -> str:
    quality = options.get("quality") or _DEFAULT_QUALITY.get(target_format)
    is_lossless = bool(options.get("lossless"))
    if is_lossless and target_format == "heic":
        raise Refused("options", "lossless: HEIC is always lossy here. Choose png, webp, avif, jxl or tiff")
    if is_lossless and target_format == "jpg":
        raise Refused("options", "lossless: JPEG is always lossy. Choose png, webp, avif or tiff")
    chosen = {
        "png": "compression=6",
        "jpg": f"Q={quality},optimize_coding=true",
        "webp": f"Q={quality},effort=4,lossless={str(is_lossless).lower()}",
        "avif": f"Q={quality},effort=3,bitdepth=8,compression=av1" + _avif_lossless(is_lossless),
        "tiff": "compression=lzw,predictor=horizontal",
        "gif": "effort=6",
        "heic": f"Q={quality},bitdepth=8,compression=hevc",
        "jp2": "lossless=true" if is_lossless else f"Q={quality}",
        "jxl": f"lossless=true,effort={_JXL_EFFORT}" if is_lossless else f"Q={quality},effort={_JXL_EFFORT}",
        "bmp": "format=bmp3",
    }[target_format]
    return f"{chosen},strip=true" if options.get("strip") else chosen


def _avif_lossless(is_lossless: bool) -> str:
    return ",lossless=true,subsample_mode=off" if is_lossless else ""


def verify(library: libvips.Library, request: dict[str, Any], size: Size, frames: int) -> None:
    """Decode the result and check size and frames; an unsafe loader is enabled only after writing."""
    options = ",n=-1" if frames > 1 else ""
    loader = UNSAFE_LOADERS.get(request["target_format"])
    library.also_allow(*([loader] if loader else []))
    try:
        result = library.open(request["output"], f"fail_on=error,access=sequential{options}")
        height = result.height // frames
        can_shrink = frames == 1 and min(size) >= _MIN_SHRINK_SIDE
        shrink = _SHRINK_ON_LOAD.get(request["target_format"]) if can_shrink else None
        decoded = library.open(request["output"], f"fail_on=error,access=sequential,{shrink}") if shrink else result
        decoded.decode()
    except libvips.VipsError as error:
        raise Refused("output", "The result cannot be read") from error
    if (result.width, height) != size or (frames > 1 and result.n_pages != frames):
        raise Refused("output", f"The result is {result.width} × {height} pixels instead of {size[0]} × {size[1]}")


def can_write(library: libvips.Library, target: str, probe: str) -> bool:
    """Return whether a small picture can be written and decoded again; a saver may be there without its encoder."""
    if target == "ico":
        return True  # an icon holds PNG pictures, and PNG is tried separately
    request = {"target_format": target, "options": {}, "output": f"{probe}.{target}"}
    try:
        picture = library.from_memory(bytes(3 * _PROBE_SIDE**2), _PROBE_SIDE, _PROBE_SIDE)
        write(library, picture, request)
        verify(library, request, (_PROBE_SIDE, _PROBE_SIDE), 1)
    except (libvips.VipsError, Refused):
        return False
    return True
