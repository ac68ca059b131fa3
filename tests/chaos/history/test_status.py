"""Broken and legal histories of a conversion's status: each fault is found, overlapping calls are not blamed."""

import pytest

from tests.chaos.history.call import Outcome
from tests.chaos.history.made import FILE, FOREVER, ONE, Made, state
from tests.chaos.history.violation import Kind


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("pending", "awaiting_upload", Kind.WENT_BACK),
        ("failed", "processing", Kind.WENT_BACK),
        ("failed", "completed", Kind.WENT_BACK),
        ("completed", "processing", Kind.COMPLETED_TAKEN_BACK),
        ("completed", "failed", Kind.COMPLETED_TAKEN_BACK),
        ("completed", "pending", Kind.COMPLETED_TAKEN_BACK),
        ("cancelled", "pending", Kind.CANCELLED_REVIVED),
        ("cancelled", "completed", Kind.CANCELLED_REVIVED),
    ],
)
class TestTwoAnswers:
    def test_backward_step_is_found(self, before: str, after: str, kind: Kind) -> None:
        assert kind in asked_to_cancel().get(1, 2, before).get(3, 4, after).kinds

    def test_overlapping_answers_are_in_any_order(self, before: str, after: str, kind: Kind) -> None:
        assert asked_to_cancel().get(1, 3, before).get(2, 4, after).kinds == []


def asked_to_cancel() -> Made:
    return Made().post(0, FOREVER, "cancel")


@pytest.mark.parametrize(
    "statuses",
    [
        ("awaiting_upload", "pending", "processing", "pending", "processing", "completed"),
        ("awaiting_upload", "completed"),
        ("awaiting_upload", "failed"),
        ("processing", "failed"),
        ("completed", "expired"),
    ],
)
def test_forward_steps_are_legal(statuses: tuple[str, ...]) -> None:
    made = Made()
    for number, status in enumerate(statuses):
        made.get(number, number + 0.5, status)

    assert made.kinds == []


def test_steps_between_two_answers_may_be_unseen() -> None:
    assert Made().get(1, 2, "awaiting_upload").get(3, 4, "expired").kinds == []


class TestRetries:
    def test_retry_between_explains_a_revival(self) -> None:
        assert Made().get(1, 2, "failed").post(3, 4, "retry", status=202).get(5, 6, "pending").kinds == []

    def test_retry_that_was_over_explains_nothing(self) -> None:
        made = Made().post(0, 1, "retry", status=202).get(2, 3, "failed").get(4, 5, "pending")

        assert made.kinds == [Kind.WENT_BACK]

    def test_retry_that_came_later_explains_nothing(self) -> None:
        made = Made().get(1, 2, "failed").get(3, 4, "pending").post(5, 6, "retry", status=202)

        assert made.kinds == [Kind.WENT_BACK]

    @pytest.mark.parametrize("status", [409, 422, 429])
    def test_refused_retry_explains_nothing(self, status: int) -> None:
        made = Made().get(1, 2, "failed").post(3, 4, "retry", status=status).get(5, 6, "pending")

        assert made.kinds == [Kind.WENT_BACK]

    def test_retry_that_was_never_sent_explains_nothing(self) -> None:
        made = Made().get(1, 2, "failed").post(3, 4, "retry", outcome=Outcome.NOT_SENT, status=0).get(5, 6, "pending")

        assert made.kinds == [Kind.WENT_BACK]

    @pytest.mark.parametrize("fields", [{"outcome": Outcome.UNKNOWN, "status": 0}, {"status": 503}])
    def test_unknown_retry_may_happen_much_later(self, fields: dict[str, object]) -> None:
        made = Made().post(1, 2, "retry", **fields).get(3, 4, "failed").get(50, 51, "failed").get(98, 99, "pending")

        assert made.kinds == []

    def test_open_retry_of_a_killed_run_explains(self) -> None:
        assert Made().get(1, 2, "failed").post(3, FOREVER, "retry").get(5, 6, "processing").kinds == []

    def test_one_unknown_retry_revives_once_only(self) -> None:
        made = Made().post(0, 1, "retry", outcome=Outcome.UNKNOWN, status=0)
        made.get(2, 3, "failed").get(4, 5, "pending").get(6, 7, "failed").get(8, 9, "pending")

        assert made.kinds == [Kind.TOO_FEW_RETRIES]

    def test_two_unknown_retries_revive_twice(self) -> None:
        made = Made()
        for _ in range(2):
            made.post(0, 1, "retry", outcome=Outcome.UNKNOWN, status=0)
        made.get(2, 3, "failed").get(4, 5, "pending").get(6, 7, "failed").get(8, 9, "pending")

        assert made.kinds == []

    def test_retry_never_leads_back_to_the_upload(self) -> None:
        made = Made().get(1, 2, "failed").post(3, 4, "retry", status=202).get(5, 6, "awaiting_upload")

        assert made.kinds == [Kind.WENT_BACK]


class TestReplays:
    def test_replayed_answer_reads_nothing(self) -> None:
        made = Made().get(1, 2, "completed")
        made.call(3, 4, "POST /conversions", key="k", is_replayed=True, told=(state("awaiting_upload"),))

        assert made.kinds == []

    def test_replayed_retry_is_no_second_one(self) -> None:
        made = Made().get(1, 2, "failed").post(3, 4, "retry", status=202, is_replayed=True).get(5, 6, "pending")

        assert made.kinds == [Kind.WENT_BACK]


class TestCancellations:
    def test_cancelled_without_a_request_is_found(self) -> None:
        assert Made().get(1, 2, "cancelled").post(3, 4, "cancel").kinds == [Kind.CANCELLED_UNASKED]

    def test_refused_request_does_not_cancel(self) -> None:
        assert Made().post(0, 1, "cancel", status=409).get(2, 3, "cancelled").kinds == [Kind.CANCELLED_UNASKED]

    def test_unknown_request_may_cancel(self) -> None:
        assert Made().post(0, 1, "cancel", outcome=Outcome.UNKNOWN, status=0).get(8, 9, "cancelled").kinds == []

    def test_deleted_file_cancels_its_conversions(self) -> None:
        made = Made()
        made.call(0, 1, "DELETE /files/{id}", id=FILE, status=204)

        assert made.get(2, 3, "cancelled", file_id=FILE).kinds == []

    def test_cancelled_is_told_until_a_retry(self) -> None:
        made = asked_to_cancel().get(1, 2, "cancelled").get(3, 4, "cancelled").post(5, 6, "retry", status=202)

        assert made.get(7, 8, "processing").kinds == []


class TestEnds:
    def test_lost_result_is_made_again_by_a_retry(self) -> None:
        made = Made().get(1, 2, "completed").post(3, 4, "retry", status=202)

        assert made.get(5, 6, "pending").get(7, 8, "completed").kinds == []

    @pytest.mark.parametrize(("wall_ms", "kinds"), [(999, [Kind.EXPIRED_EARLY]), (1001, [])])
    def test_result_expires_at_its_date(self, wall_ms: int, kinds: list[Kind]) -> None:
        made = Made().get(1, 2, "completed", expires_at=1000)
        made.call(3, 4, "GET /conversions/{id}", id=ONE, told=(state("expired"),), wall_ms=wall_ms)

        assert made.kinds == kinds


class TestStreams:
    def test_stream_never_goes_back(self) -> None:
        made = Made().streamed(0, (1, state("completed")), (2, state("processing")))

        assert made.kinds == [Kind.COMPLETED_TAKEN_BACK]

    def test_event_may_be_older_than_another_answer(self) -> None:
        made = Made().streamed(0, (5, state("pending")), (6, state("completed")))

        assert made.get(1, 2, "completed").kinds == []

    def test_stream_opened_later_tells_the_present(self) -> None:
        assert Made().get(1, 2, "failed").streamed(3, (4, state("pending"))).kinds == [Kind.WENT_BACK]

    def test_answer_after_an_event_is_no_older(self) -> None:
        made = Made().streamed(0, (1, state("failed")))

        assert made.get(2, 3, "pending").kinds == [Kind.WENT_BACK]


def test_other_conversions_say_nothing() -> None:
    made = Made().get(1, 2, "completed")
    made.listed(0.5, 4, state("pending", "0190a000-0000-7000-8000-000000000009"))

    assert made.kinds == []


def test_list_is_no_older_than_an_answer_before() -> None:
    assert Made().get(1, 2, "completed").listed(3, 4, state("processing")).kinds == [Kind.COMPLETED_TAKEN_BACK]
