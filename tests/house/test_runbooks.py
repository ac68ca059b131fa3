"""The runbooks name only settings, metrics and pages that exist (C11)."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import converto_infra.metrics  # noqa: F401 - registers the metrics
from converto_infra.settings import Settings

RUNBOOKS = sorted((Path(__file__).resolve().parents[2] / "deploy" / "runbooks").glob("*.md"))


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_settings_named_in_runbooks_exist(page: Path) -> None:
    named = {name.lower() for name in re.findall(r"CONVERTO_([A-Z0-9_]+)", page.read_text("utf-8"))}

    assert named - set(Settings.model_fields) == set()


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_metrics_named_in_runbooks_exist(page: Path) -> None:
    named = set(re.findall(r"`(converto_[a-z_]+)", page.read_text("utf-8"))) - {"converto_infra"}
    known = {name for metric in REGISTRY.collect() for name in (metric.name, f"{metric.name}_total")}

    assert named - known == set()


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_pages_linked_from_runbooks_exist(page: Path) -> None:
    assert [
        link for link in re.findall(r"\]\(([\w.]+\.md)\)", page.read_text("utf-8")) if not (page.parent / link).exists()
    ] == []
