"""Settings of uploads (C7): the ages of looks and the queue of upload events."""

import pytest
from pydantic import ValidationError

from converto_infra.settings import Settings


def test_look_ages_are_read_from_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_UPLOAD_LOOKS_S", "1, 2.5,60")
    some = Settings().upload_looks_s
    monkeypatch.setenv("CONVERTO_UPLOAD_LOOKS_S", "")
    none = Settings().upload_looks_s

    assert (some, none) == ((1.0, 2.5, 60.0), ())


@pytest.mark.parametrize("ages", ["60,5", "5,5", "0", "soon"])
def test_look_ages_in_no_order_are_refused(ages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTO_UPLOAD_LOOKS_S", ages)

    with pytest.raises(ValidationError, match="upload_looks_s"):
        Settings()


def test_queue_of_upload_events_is_given_as_url() -> None:
    with pytest.raises(ValidationError, match="URL of the queue"):
        Settings(upload_events_queue_url="converto-upload-events")

    assert Settings(upload_events_queue_url="").upload_events_queue_url is None
