"""Finds Terraform's AWS provider on this machine, so that the suite needs no registry.

`python -m tests.terraform.mirror` fills `.converto/terraform-mirror` from the registry, on a machine that has one.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.local.home import REPOSITORY

PROVIDER = Path("registry.terraform.io/hashicorp/aws")
OWN = REPOSITORY / ".converto" / "terraform-mirror"
REMEMBERED = REPOSITORY / ".converto" / "terraform-mirror-seen"
"""Names the folder in which an earlier run on this machine found the provider."""

USUAL_FOLDERS = ("/opt", "/usr/share", "/usr/local/share", "~/.terraform.d", "~/.local/share/terraform")
DEPTHS = ("", "*", "*/*")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}


class Found(NamedTuple):
    """The program and a CLI configuration with which `terraform init` works."""

    program: str
    cli_config: str


class Missing(Exception):
    """Raised when Terraform cannot run; `is_expected` says that it could before, so that CI must fail."""

    def __init__(self, reason: str, *, is_expected: bool) -> None:
        super().__init__(reason)
        self.is_expected = is_expected


def find(environment: Mapping[str, str], folder: Path) -> Found:
    """Find Terraform and the provider, and write a CLI configuration into `folder` where one is needed.

    The order: `CONVERTO_TERRAFORM_MIRROR`, an existing `TF_CLI_CONFIG_FILE`, this repository's own mirror, the usual
    folders. Raises `Missing`.
    """
    named = environment.get("CONVERTO_TERRAFORM_MIRROR")
    is_expected = bool(named) or REMEMBERED.exists()
    program = shutil.which("terraform", path=environment.get("PATH"))
    if program is None:
        raise Missing("terraform is not on the PATH", is_expected=is_expected)
    if named:
        if not holds_provider(Path(named)):
            raise Missing(f"CONVERTO_TERRAFORM_MIRROR={named} does not hold {_executable()}", is_expected=True)
        return Found(program, _written(folder, Path(named)))
    configured = environment.get("TF_CLI_CONFIG_FILE")
    if configured and installs_providers(Path(configured)):
        return Found(program, configured)
    for candidate in candidates():
        REMEMBERED.parent.mkdir(exist_ok=True)
        REMEMBERED.write_text(f"{candidate}\n")
        return Found(program, _written(folder, candidate))
    raise Missing(
        "no folder holds Terraform's AWS provider; `make terraform-mirror` downloads it, or CONVERTO_TERRAFORM_MIRROR "
        "may name a folder made by `terraform providers mirror`",
        is_expected=is_expected,
    )


def holds_provider(mirror: Path) -> bool:
    """Return whether a mirror holds the provider for this machine, unpacked or as an archive."""
    return any((mirror / PROVIDER).glob(f"*/{_platform()}/terraform-provider-aws*")) or any(
        (mirror / PROVIDER).glob(f"terraform-provider-aws_*_{_platform()}.zip")
    )


def installs_providers(cli_config: Path) -> bool:
    """Return whether a CLI configuration exists and says where providers come from."""
    try:
        mirrors = re.findall(r'^\s*path\s*=\s*"([^"]+)"', cli_config.read_text("utf-8"), re.MULTILINE)
    except OSError:
        return False
    return any(holds_provider(Path(mirror)) for mirror in mirrors)


def candidates() -> Iterator[Path]:
    """Folders that hold the provider: our own, then the usual ones."""
    roots = [OWN, *(Path(name).expanduser() for name in USUAL_FOLDERS)]
    for root in roots:
        for depth in DEPTHS:
            places = [root] if not depth else sorted(root.glob(depth)) if root.is_dir() else []
            yield from (place for place in places if (place / PROVIDER).is_dir() and holds_provider(place))


def download() -> None:
    """Fill our own mirror with what a lock file names, and unpack it: links are faster than archives."""
    locked = sorted((REPOSITORY / "terraform" / "environments").glob("*/.terraform.lock.hcl"))
    source = locked[0].parent if locked else REPOSITORY / "terraform" / "modules" / "policies"
    subprocess.run(["terraform", f"-chdir={source}", "providers", "mirror", str(OWN)], check=True)
    for archive in (OWN / PROVIDER).glob("*.zip"):
        version, system, architecture = re.split(r"_", archive.stem.removeprefix("terraform-provider-aws_"))
        target = OWN / PROVIDER / version / f"{system}_{architecture}"
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(target)
        for program in target.glob("terraform-provider-aws*"):
            program.chmod(0o755)
        archive.unlink()


def _written(folder: Path, mirror: Path) -> str:
    path = folder / "terraform.tfrc"
    path.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
        "disable_checkpoint = true\n"
    )
    return str(path)


def _platform() -> str:
    return f"{platform.system().lower()}_{ARCHITECTURES.get(platform.machine(), platform.machine())}"


def _executable() -> str:
    return f"{PROVIDER}/<version>/{_platform()}/terraform-provider-aws"


if __name__ == "__main__":
    if os.environ.get("CI") is None and not sys.stdin.isatty() and shutil.which("terraform") is None:
        sys.exit("terraform is not on the PATH")
    download()
