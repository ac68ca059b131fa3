"""What converters tell users names only options that exist; notes are checked wherever a test converts."""

import pytest

from converto_engines.converter import Converter
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.tables import CsvToJson
from tests.engines.named_options import unknown_options


def test_losses_name_only_options_that_exist(sandbox: Sandbox) -> None:
    unknown = {
        (converter.name, name)
        for converter in build_converters(sandbox)
        for loss in converter.losses
        for name in unknown_options(loss.text, converter)
    }

    assert unknown == set()


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("The option header selects it", set()),
        ("The option `page` selects another", {"page"}),
        ("Set `numbers` or set hidden_slides", {"hidden_slides"}),
        ('See the options "sheet" and layout', {"sheet"}),
        ("Set the clock to winter time", set()),
    ],
)
def test_named_options_are_found_in_a_text(sandbox: Sandbox, text: str, unknown: set[str]) -> None:
    converter: Converter = CsvToJson(sandbox)

    assert unknown_options(text, converter) == unknown
