"""The runbooks name only settings, metrics and pages that there are (C11)."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import converto_infra.metrics  # noqa: F401 - makes the metrics known
from converto_infra.settings import Settings

RUNBOOKS = sorted((Path(__file__).resolve().parents[2] / "deploy" / "runbooks").glob("*.md"))


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_runbook_when_it_names_a_setting_then_the_setting_exists(page: Path) -> None:
    named = {name.lower() for name in re.findall(r"CONVERTO_([A-Z0-9_]+)", page.read_text("utf-8"))}

    assert named - set(Settings.model_fields) == set()


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_runbook_when_it_names_a_metric_then_the_metric_exists(page: Path) -> None:
    named = set(re.findall(r"`(converto_[a-z_]+)", page.read_text("utf-8"))) - {"converto_infra"}
    known = {name for metric in REGISTRY.collect() for name in (metric.name, f"{metric.name}_total")}

    assert named - known == set()


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_runbook_when_it_points_to_a_page_then_the_page_is_there(page: Path) -> None:
    assert [
        link for link in re.findall(r"\]\(([\w.]+\.md)\)", page.read_text("utf-8")) if not (page.parent / link).exists()
    ] == []
