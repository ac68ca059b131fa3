"""Base of the converters that run ffmpeg."""

from converto_engines.media.ffmpeg import Ffmpeg
from converto_engines.runtime.process import Sandbox


class FfmpegConverter:
    """Shared attributes and methods; see `Converter` for what they mean."""

    engine = "ffmpeg"
    is_paged = False

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox that runs ffmpeg."""
        self._ffmpeg = Ffmpeg(sandbox)

    async def version(self) -> str | None:
        """Return ffmpeg's version, or None when it is missing."""
        return await self._ffmpeg.version()

    async def aclose(self) -> None:
        """Do nothing: no process outlives its job."""
