"""Options of a converter, its schema, and what the installed converters offer."""

from typing import Annotated

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta

from converto_core.catalogue import Loss
from converto_core.errors import BadOptions, EngineCrashed
from converto_core.formats import Family
from converto_engines.converter import Job, Product, inline_schema, offers_of, options_for
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox


class SomeOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    quality: Annotated[int, Meta(ge=1, le=100)] = 80
    strip: bool = False


class Fake:
    name, engine, family = "fake", "fake-engine", Family.IMAGE
    sources: tuple[str, ...] = ("png",)
    targets: tuple[str, ...] = ("jpg",)
    options: type[msgspec.Struct] = SomeOptions
    loss, seconds, is_paged = 0.1, 2.0, False
    losses: tuple[Loss, ...] = ()

    def __init__(self, version: str | None) -> None:
        self._version = version

    async def version(self) -> str | None:
        return self._version

    async def convert(self, job: Job) -> list[Product]:
        return []

    async def aclose(self) -> None:
        pass


def test_options_of_other_steps_are_ignored() -> None:
    assert options_for(Fake("1"), {"quality": 7, "dpi": 300}) == SomeOptions(quality=7)


@pytest.mark.parametrize("options", [{"quality": 101}, {"quality": "high"}, {"strip": 1}])
def test_invalid_values_are_bad_options(options: dict[str, object]) -> None:
    with pytest.raises(BadOptions, match="options are not valid"):
        options_for(Fake("1"), options)


async def test_missing_program_is_not_offered() -> None:
    offers = await offers_of([Fake("1.2"), Fake(None)])

    assert [(offer.converter, offer.engine_version, offer.seconds) for offer in offers] == [("fake", "1.2", 2.0)]


async def test_broken_program_does_not_hide_the_others() -> None:
    class Broken(Fake):
        async def version(self) -> str | None:
            raise EngineCrashed()

    assert [offer.engine_version for offer in await offers_of([Broken("1"), Fake("2")])] == ["2"]


@pytest.mark.parametrize("converter", build_converters(Sandbox("off")), ids=lambda converter: str(converter.name))
def test_option_schemas_are_valid_flat_and_described(converter: Fake) -> None:
    schema = inline_schema(converter.options)

    Draft202012Validator.check_schema(schema)
    assert "$ref" not in str(schema)
    assert all("description" in str(entry) for entry in schema["properties"].values())


def test_build_converters_of_named_families() -> None:
    built = [(converter.name, converter.family) for converter in build_converters(Sandbox("off"), ["pdf", "image"])]

    assert built == [
        ("pdf-pages", Family.PDF),
        ("pdf-document", Family.PDF),
        ("pdf-drawings", Family.PDF),
        ("pdf-text", Family.PDF),
        ("vips", Family.IMAGE),
        ("picture-page", Family.IMAGE),
    ]
