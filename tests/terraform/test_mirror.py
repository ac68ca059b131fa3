"""The provider is found where it may be; that it is missing is a failure only where it has to be there."""

from pathlib import Path

import pytest

from tests.terraform.mirror import PROVIDER, Found, Missing, _platform, find


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "terraform").write_text("#!/bin/sh\n")
    (folder / "terraform").chmod(0o755)
    return folder


def filled(folder: Path, *, packed: bool = False) -> Path:
    """Make a mirror with an empty provider."""
    if packed:
        provider = folder / PROVIDER / f"terraform-provider-aws_5.100.0_{_platform()}.zip"
    else:
        provider = folder / PROVIDER / "5.100.0" / _platform() / "terraform-provider-aws_v5.100.0_x5"
    provider.parent.mkdir(parents=True)
    provider.touch()
    return folder


def look(tmp_path: Path, usual: Path, **environment: str) -> Found:
    return find(environment, tmp_path, usual=[usual], remembered=tmp_path / "remembered")


@pytest.mark.parametrize("packed", [False, True])
def test_named_mirror_is_used(tmp_path: Path, programs: Path, packed: bool) -> None:
    mirror = filled(tmp_path / "mirror", packed=packed)
    found = look(tmp_path, tmp_path / "none", PATH=str(programs), CONVERTO_TERRAFORM_MIRROR=str(mirror))

    assert f'path = "{mirror}"' in Path(found.cli_config).read_text()


def test_existing_configuration_is_used_as_it_is(tmp_path: Path, programs: Path) -> None:
    own = tmp_path / "own.tfrc"
    own.write_text(f'  path = "{filled(tmp_path / "mirror")}"\n')

    assert look(tmp_path, tmp_path / "none", PATH=str(programs), TF_CLI_CONFIG_FILE=str(own)).cli_config == str(own)


def test_configuration_without_provider_is_passed_over(tmp_path: Path, programs: Path) -> None:
    mirror = filled(tmp_path / "usual" / "plugins")
    for missing in (tmp_path / "none.tfrc", tmp_path):
        found = look(tmp_path, tmp_path / "usual", PATH=str(programs), TF_CLI_CONFIG_FILE=str(missing))
        assert f'path = "{mirror}"' in Path(found.cli_config).read_text()


def test_named_mirror_without_provider_has_to_be_there(tmp_path: Path, programs: Path) -> None:
    usual = filled(tmp_path / "usual")
    with pytest.raises(Missing, match="does not hold") as missing:
        look(tmp_path, usual, PATH=str(programs), CONVERTO_TERRAFORM_MIRROR=str(tmp_path / "none"))

    assert missing.value.is_expected


def test_ci_fails_once_it_had_the_provider(tmp_path: Path, programs: Path) -> None:
    usual = filled(tmp_path / "usual")
    look(tmp_path, usual, PATH=str(programs))
    with pytest.raises(Missing) as on_laptop:
        look(tmp_path, tmp_path / "none", PATH=str(programs))
    with pytest.raises(Missing) as in_ci:
        look(tmp_path, tmp_path / "none", PATH=str(programs), CI="true")

    assert (on_laptop.value.is_expected, in_ci.value.is_expected) == (False, True)


def test_machine_without_terraform_is_excused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="not on the PATH") as missing:
        look(tmp_path, filled(tmp_path / "usual"), PATH=str(tmp_path), CI="true")

    assert not missing.value.is_expected
