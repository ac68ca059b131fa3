"""The command line from the installed wheel converts a file on the running stack, without the sources at hand."""

from pathlib import Path

from deploy.local.stack.stack import Stack
from tests.assets.make_samples import make_samples
from tests.e2e.command_line import converto


def test_installed_command_converts_a_file(stack: Stack, installed_programs: Path, tmp_path: Path) -> None:
    source = make_samples(tmp_path / "samples")["drawing.png"]
    program = [str(installed_programs / "converto")]
    converto(stack, "convert", str(source), "--to", "webp", "-o", str(tmp_path / "out"), cwd=tmp_path, program=program)

    assert (tmp_path / "out" / "drawing.webp").read_bytes()[8:12] == b"WEBP"
