"""Word 97, PowerPoint 97 and Excel 97 files, which only LibreOffice writes: one call without the sandbox."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


def saved_as(path: Path, make: Callable[[Path], object], made_format: str) -> None:
    """Make a file of another format, and save it in the format that the name of `path` says."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"source.{made_format}"
        make(source)
        profile = f"-env:UserInstallation={(Path(folder) / 'profile').as_uri()}"
        command = ["soffice", profile, "--headless", "--convert-to", path.suffix[1:], "--outdir", folder, str(source)]
        subprocess.run(command, check=True, capture_output=True, timeout=90)
        shutil.move(source.with_suffix(path.suffix), path)
