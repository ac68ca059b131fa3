"""CSV to JSON and back, read back with the standard library, and broken or too large tables."""

import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converto_core.catalogue import Offer
from converto_core.errors import BadOptions, CorruptSource, SourceTooLarge, UnsupportedConversion
from converto_core.formats import Family
from converto_engines import planner
from converto_engines.converter import offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.sandboxed import csv_rows, tables
from converto_engines.texts.tables import CsvToJson, JsonToCsv
from tests.engines.conftest import RunJob
from tests.engines.texts.conftest import Content, ConvertContent, ConvertToText

Convert = Callable[..., Awaitable[str]]


@pytest.fixture
def to_json(sandbox: Sandbox, convert_content: ConvertContent) -> Callable[..., Awaitable[Any]]:
    step = convert_content(CsvToJson(sandbox), "csv", "json")

    async def convert(content: Content, **options: Any) -> Any:
        path = await step(content, **options)
        return json.loads(path.read_text(encoding="utf-8"), parse_float=str)

    return convert


@pytest.fixture
def to_csv(sandbox: Sandbox, convert_content: ConvertContent) -> Convert:
    step = convert_content(JsonToCsv(sandbox), "json", "csv")

    async def convert(content: Content, **options: Any) -> str:
        path = await step(content, **options)
        return path.read_bytes().decode()

    return convert


@pytest.fixture
def to_lines(sandbox: Sandbox, convert_to_text: ConvertToText) -> Convert:
    return convert_to_text(CsvToJson(sandbox), "csv", "json")


async def test_rows_become_objects_with_text_cells(
    to_json: Callable[..., Awaitable[Any]],
) -> None:
    rows = await to_json('name,code,note\r\nŁódź,007,"a, b\r\nc ""d"""\r\n\r\nBerlin,1.10,\r\n')
    assert rows == [
        {"name": "Łódź", "code": "007", "note": 'a, b\r\nc "d"'},
        {"name": "Berlin", "code": "1.10", "note": ""},
    ]


async def test_without_header_rows_become_lists(to_json: Callable[..., Awaitable[Any]]) -> None:
    assert await to_json("a,b\n1,2\n", header=False) == [["a", "b"], ["1", "2"]]


async def test_only_plain_numbers_change_and_keep_their_digits(
    to_json: Callable[..., Awaitable[Any]],
) -> None:
    (row,) = await to_json("a,b,c,d,e,f\n12,-3.50,007,1e5,12345678901234567890,NaN\n", numbers=True)
    assert row == {"a": 12, "b": "-3.50", "c": "007", "d": "1e5", "e": 12345678901234567890, "f": "NaN"}
    (as_text,) = await to_json("a\n12\n")
    assert as_text == {"a": "12"}


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
async def test_separator_is_detected(to_json: Callable[..., Awaitable[Any]], mark: str) -> None:
    table = f'a{mark}b\n"x,;y"{mark}1\n'
    assert await to_json(table) == [{"a": "x,;y", "b": "1"}]
    assert await to_json(f"sep={mark}\n{table}") == [{"a": "x,;y", "b": "1"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
async def test_table_in_other_encodings_is_decoded(to_json: Callable[..., Awaitable[Any]], encoding: str) -> None:
    assert await to_json("name;town\nSøren;Malmö\n".encode(encoding)) == [{"name": "Søren", "town": "Malmö"}]


async def test_every_column_gets_a_unique_name(
    to_json: Callable[..., Awaitable[Any]],
) -> None:
    rows = await to_json("a,a,\n1,2,3\n4\n5,6,7,8\n")
    assert rows[0] == {"a": "1", "a_2": "2", "column_3": "3"}
    assert rows[1] == {"a": "4", "a_2": None, "column_3": None}
    assert rows[2] == {"a": "5", "a_2": "6", "column_3": "7", "column_4": "8"}


async def test_objects_become_a_table_with_header(to_csv: Convert) -> None:
    content = '[{"a": 1.10, "b": "x, y"}, {"b": null, "c": [1.50, {"d": true}]}, {"a": false, "c": "7\\"1/2"}]'
    assert list(csv.reader(io.StringIO(await to_csv(content), newline=""))) == [
        ["a", "b", "c"],
        ["1.10", "x, y", ""],
        ["", "", '[1.50, {"d": true}]'],
        ["false", "", '7"1/2'],
    ]


async def test_lists_or_one_object_become_rows(to_csv: Convert) -> None:
    assert await to_csv('[["a", 1], ["b\\nc", 12345678901234567890]]') == 'a,1\r\n"b\nc",12345678901234567890\r\n'
    assert await to_csv('{"a": 1}') == "a\r\n1\r\n"


async def test_json_lines_become_rows(to_csv: Convert) -> None:
    assert await to_csv('{"a":1}\n{"a":2.50}\n') == "a\r\n1\r\n2.50\r\n"
    assert await to_csv('\ufeff[1, "x"]\r\n\r\n[2, "y"]\r\n') == "1,x\r\n2,y\r\n"


@pytest.mark.parametrize("header", [True, False])
async def test_rows_are_written_as_json_lines(to_lines: Convert, to_csv: Convert, header: bool) -> None:
    lines = await to_lines("a,b\n1,007\n2,\n", layout="lines", numbers=True, header=header)

    assert lines.count("\n") == len(lines.splitlines()) == (2 if header else 3)
    assert [json.loads(line) for line in lines.splitlines()][-2:] == (
        [{"a": 1, "b": "007"}, {"a": 2, "b": ""}] if header else [[1, "007"], [2, ""]]
    )
    assert await to_csv(lines) == "a,b\r\n1,007\r\n2,\r\n"


@pytest.mark.parametrize(("name", "mark"), [("comma", ","), ("semicolon", ";"), ("tab", "\t")])
async def test_chosen_separator_is_used(to_csv: Convert, name: str, mark: str) -> None:
    assert await to_csv('[["a", "b c"]]', separator=name) == f"a{mark}b c\r\n"


async def test_unknown_option_is_refused(to_csv: Convert) -> None:
    with pytest.raises(BadOptions):
        await to_csv("[[1]]", separator="colon")


_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and not name.lower().startswith("sep=")
)
_CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@given(st.data())
def test_round_trip_keeps_every_cell(data: st.DataObject) -> None:
    names = data.draw(st.lists(_NAMES, min_size=2, max_size=4, unique=True))
    records = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, _CELLS)), min_size=1, max_size=5))
    table, page = io.StringIO(newline=""), io.StringIO()
    assert tables.write_csv(records, table, ",") == len(records) + 1
    assert tables.write_json(csv_rows.rows_of(table.getvalue()), page, header=True, numbers=False) == len(records)
    assert json.loads(page.getvalue()) == tables.records_of(page.getvalue()) == records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": 1},\n {"a": 2]', "line 2, column 9"),
        (b'[{"a": NaN}]', "NaN"),
        (b"[1, 2]", "list of objects"),
        (b"1\n2\n", "list of objects"),
        (b'{"a": 1}\n{"a": 2}\n{"a": \n', "line 4, column 1"),
        (b'{"a": 1} and more', "line 1, column 10"),
        (b'[{"a": 1}, [2]]', "list of objects"),
        (b"[]", "list of objects"),
        (b"[{}]", "no columns"),
        (b"", "line 1, column 1"),
        (b"[" * 100_000 + b"]" * 100_000, "nested"),
        (b"[[" + b"[" * 900 + b"]" * 900 + b"]]", ""),
        (b'[{"a": "\x00"}]', "not text"),
    ],
)
async def test_broken_json_or_no_table_names_the_place(to_csv: Convert, content: bytes, message: str) -> None:
    """I13."""
    try:
        result = await to_csv(content)
    except CorruptSource as refusal:
        assert message in refusal.public_message
    else:
        assert not message
        assert result.startswith("[[[")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"a,b\n", "no rows"),
        (b'a,b\n1,2\n"never closed,3\n4,5\n', "line 3"),
        (b'a,b\n"x"y,2\n', "line 2"),
        (b"a,b\n\x00,1\n", "not text"),
    ],
)
async def test_broken_table_names_the_line(
    to_json: Callable[..., Awaitable[Any]], content: bytes, message: str
) -> None:
    with pytest.raises(CorruptSource, match=message):
        await to_json(content)


async def test_a_million_columns_are_refused(to_json: Callable[..., Awaitable[Any]], to_csv: Convert) -> None:
    with pytest.raises(SourceTooLarge, match="columns"):
        await to_json("," * 1_000_000 + "\n")
    with pytest.raises(SourceTooLarge, match="columns"):
        await to_csv(json.dumps([{str(number): 1 for number in range(20_000)}]))
    with pytest.raises(SourceTooLarge, match="columns"):
        await to_csv(json.dumps([{str(number): 1} for number in range(10_000)]))


async def test_too_large_table_is_refused_unread(sandbox: Sandbox, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "large.csv"
    with source.open("wb") as file:
        file.truncate(101 * 1024**2)
    with pytest.raises(SourceTooLarge, match="100 MB"):
        await run_job(CsvToJson(sandbox), source, "csv", "json")


@pytest.fixture(scope="module")
async def offers(sandbox: Sandbox) -> tuple[Offer, ...]:
    return await offers_of(build_converters(sandbox, [Family.OFFICE]))


@pytest.mark.parametrize(
    ("source", "target", "converters"),
    [
        ("csv", "json", ["csv-json"]),
        ("json", "csv", ["json-csv"]),
        ("json", "pdf", ["json-csv", "libreoffice"]),
        ("html", "pdf", ["web-page"]),
        ("html", "txt", ["page-text"]),
        ("md", "html", ["markdown"]),
        ("md", "pdf", ["markdown", "web-page"]),
        ("md", "txt", ["markdown", "page-text"]),
        ("epub", "html", ["book"]),
        ("epub", "pdf", ["book", "web-page"]),
        ("epub", "txt", ["book", "page-text"]),
        ("srt", "vtt", ["srt-vtt"]),
        ("vtt", "srt", ["vtt-srt"]),
    ],
)
def test_plan_takes_the_shortest_route(
    offers: tuple[Offer, ...], source: str, target: str, converters: list[str]
) -> None:
    assert [step.converter for step in planner.plan(source, target, offers)] == converters


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("srt", "json"), ("srt", "pdf"), ("vtt", "csv"), ("csv", "srt"), ("json", "html"), ("txt", "json"),
        ("html", "md"), ("pdf", "html"), ("json", "json"), ("srt", "srt"), ("md", "csv"),
    ],
)  # fmt: skip
def test_nonsense_route_is_refused(offers: tuple[Offer, ...], source: str, target: str) -> None:
    with pytest.raises(UnsupportedConversion):
        planner.plan(source, target, offers)


async def test_assumed_encoding_is_told(to_json: Callable[..., Awaitable[Any]]) -> None:
    notes: list[str] = []
    await to_json("name\nSøren\n", note=notes.append)
    await to_json("name\nSøren\n".encode("utf-16"), note=notes.append)
    assert notes == []

    await to_json("name\nSøren\n".encode("windows-1252"), note=notes.append)
    assert notes == ["The text is not UTF-8 and was read as Windows-1252. Check its accented letters"]
