"""Settings that are checked when a process starts: the message names the variable and the way out."""

import sys

import pytest
from pydantic import ValidationError

from converto_infra.settings import Settings


def test_missing_motor_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "motor", None)  # type: ignore[arg-type]

    with pytest.raises(ValidationError, match=r"pip install converto\[motor\].*CONVERTO_MONGODB_DRIVER=pymongo"):
        Settings(mongodb_driver="motor")


def test_unknown_driver_is_refused() -> None:
    with pytest.raises(ValidationError, match="'pymongo' or 'motor'"):
        Settings(mongodb_driver="mongoengine")  # type: ignore[arg-type]
