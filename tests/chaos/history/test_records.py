"""Broken and legal histories of keys, existence, lists, progress and contents: each kind of fault is found."""

from typing import Any

import pytest

from converto_core.conversion.record import Status
from tests.chaos.history.call import Damaged, Outcome, Published, ToldObject
from tests.chaos.history.made import FILE, ONE, OTHER, Made, state
from tests.chaos.history.violation import Kind

OUTPUT, SOURCE = f"t/o/out/{ONE}/1/result.json", f"t/o/in/{FILE}/1/source"


def created(made: Made, conversion_id: str = ONE, *, at_s: float = 0, **fields: Any) -> Made:
    fields = {"key": "k", "sha256": "body", "status": 201, "wanted": {"client_id": "a"}, **fields}
    told = (state("awaiting_upload", conversion_id, client_id="a"),)
    made.call(at_s, at_s + 0.5, "POST /conversions", **{"told": told, **fields})
    return made


class TestKeys:
    def test_key_with_two_conversions_is_found(self) -> None:
        kinds = created(created(Made()), OTHER, at_s=1).kinds

        assert kinds == [Kind.TWO_IDS, Kind.TOO_MANY]

    def test_replay_must_name_the_same_conversion(self) -> None:
        assert created(created(Made()), OTHER, at_s=1, is_replayed=True).kinds == [Kind.TWO_IDS]

    def test_repeated_request_with_one_conversion_is_legal(self) -> None:
        unknown = {"outcome": Outcome.UNKNOWN, "status": 0, "told": ()}

        assert created(created(created(Made(), **unknown), at_s=1), at_s=2, is_replayed=True).kinds == []

    def test_key_belongs_to_its_caller(self) -> None:
        made = created(created(Made()), OTHER, at_s=1, caller="another")

        assert made.kinds == []

    def test_unknown_requests_explain_their_conversions(self) -> None:
        unknown = {"outcome": Outcome.UNKNOWN, "status": 0, "told": (), "key": None}
        made = created(created(Made(), key=None), at_s=1, **unknown)

        assert made.listed(2, 3, state("pending", OTHER, client_id="a"), state("pending", client_id="a")).kinds == []

    def test_conversion_that_nobody_requested_is_found(self) -> None:
        made = created(Made()).listed(2, 3, state("pending", OTHER, client_id="a"), state("pending", client_id="a"))

        assert made.kinds == [Kind.TOO_MANY]


class TestExistence:
    def test_deleted_conversion_is_never_told(self) -> None:
        assert Made().get(0, 1, "failed").delete(2, 3).get(4, 5, "failed").kinds == [Kind.TOLD_AFTER_DELETE]

    def test_list_never_tells_a_deleted_one(self) -> None:
        made = Made().get(0, 1, "failed").delete(2, 3).listed(4, 5, state("failed"))

        assert made.kinds == [Kind.TOLD_AFTER_DELETE]

    def test_read_during_a_delete_may_find_it(self) -> None:
        assert Made().get(0, 1, "failed").delete(2, 5).get(3, 6, "failed").missing(7, 8).kinds == []

    def test_unknown_delete_may_happen_later(self) -> None:
        made = Made().get(0, 1, "failed").delete(2, 3, outcome=Outcome.UNKNOWN, status=0)

        assert made.get(4, 5, "failed").missing(6, 7).kinds == []

    def test_record_stays_away_after_a_404(self) -> None:
        made = Made().get(0, 1, "failed").delete(2, 3, outcome=Outcome.UNKNOWN, status=0)

        assert made.missing(4, 5).get(6, 7, "failed").kinds == [Kind.CAME_BACK]

    @pytest.mark.parametrize("refusal", [None, 404, 409])
    def test_accepted_conversion_does_not_vanish(self, refusal: int | None) -> None:
        made = created(Made())
        if refusal:
            made.delete(1, 2, status=refusal)

        assert made.missing(3, 4).kinds == [Kind.VANISHED]

    def test_404_before_the_creation_ended_is_legal(self) -> None:
        assert created(Made()).missing(0.2, 0.8).get(1, 2, "pending").kinds == []

    def test_missing_output_number_says_nothing(self) -> None:
        made = Made().get(0, 1, "completed")
        made.call(2, 3, "GET /conversions/{id}/outputs/{number}", id=ONE, status=404)

        assert made.kinds == []


class TestLists:
    def test_accepted_conversion_is_in_the_list(self) -> None:
        assert created(Made()).listed(1, 2).kinds == [Kind.MISSING_IN_LIST]

    @pytest.mark.parametrize(
        "fields",
        [
            {"caller": "another"},
            {"wanted": {"client_id": "b"}},
            {"wanted": {"after": ONE}},
            {"next": OTHER},
            {"wanted": {"status": "awaiting_upload"}},
            {"status": 503},
        ],
    )
    def test_list_that_does_not_cover_it_is_legal(self, fields: dict[str, Any]) -> None:
        assert created(Made()).listed(1, 2, **fields).kinds == []

    def test_list_during_creation_or_deletion_is_legal(self) -> None:
        assert created(Made()).listed(0.4, 2).delete(3, 5).listed(4, 6).kinds == []

    def test_final_status_is_in_its_list(self) -> None:
        made = Made().get(0, 1, "failed").listed(2, 3, wanted={"status": "failed,expired"}).get(4, 5, "failed")

        assert made.kinds == [Kind.MISSING_IN_LIST]

    def test_retried_conversion_may_leave_its_list(self) -> None:
        made = Made().get(0, 1, "failed").post(1, 4, "retry", status=202)

        assert made.listed(2, 3, wanted={"status": "failed"}).get(4, 5, "failed").kinds == []

    @pytest.mark.parametrize("wanted", [{"status": "failed"}, {"client_id": "b"}])
    def test_list_holds_what_its_filter_wants(self, wanted: dict[str, str]) -> None:
        assert Made().listed(0, 1, state("pending", client_id="a"), wanted=wanted).kinds == [Kind.WRONG_IN_LIST]


class TestProgress:
    def test_percent_never_goes_back_within_a_run(self) -> None:
        made = Made().get(0, 1, "processing", percent=50.0, started_at=7)

        assert made.get(2, 3, "processing", percent=40.0, started_at=7).kinds == [Kind.PERCENT_WENT_BACK]

    def test_percent_begins_anew_with_each_run(self) -> None:
        made = Made().get(0, 1, "processing", percent=50.0, started_at=7)

        assert made.get(2, 3, "processing", percent=0.0, started_at=8).kinds == []

    def test_overlapping_reads_may_swap_percents(self) -> None:
        made = Made().get(0, 3, "processing", percent=50.0, started_at=7)

        assert made.get(2, 4, "processing", percent=40.0, started_at=7).kinds == []

    def test_earlier_run_is_never_told_again(self) -> None:
        made = Made()
        for at_s, run in enumerate((7, 8, 7)):
            made.get(at_s, at_s + 0.5, "processing", started_at=run)

        assert made.kinds == [Kind.RUN_WENT_BACK]

    @pytest.mark.parametrize("counter", ["attempts_lost", "error_count"])
    def test_counters_never_go_back(self, counter: str) -> None:
        made = Made().get(0, 1, "pending", **{counter: 2}).get(2, 3, "pending", **{counter: 1})

        assert made.kinds == [Kind.COUNTER_WENT_BACK]

    def test_retry_forgets_lost_workers(self) -> None:
        made = Made().get(0, 1, "failed", attempts_lost=5).post(2, 3, "retry", status=202)

        assert made.get(4, 5, "pending", attempts_lost=0).kinds == []

    def test_second_completion_is_found(self) -> None:
        made = Made()
        made.lines += [Published(at_s=at_s, id=ONE, status=Status.COMPLETED, token=int(at_s)) for at_s in (1.0, 2.0)]

        assert made.kinds == [Kind.COMPLETED_TWICE]
        assert made.post(0, 1, "retry", status=202).kinds == []


class TestContents:
    def test_outputs_never_change(self) -> None:
        made = Made().get(0, 1, "completed", outputs=("x",)).get(0, 1, "completed", outputs=("y",))

        assert made.kinds == [Kind.OUTPUTS_CHANGED]

    def test_retried_conversion_may_have_other_outputs(self) -> None:
        made = Made().get(0, 1, "completed", outputs=("x",), started_at=7).post(2, 3, "retry", status=202)

        assert made.get(4, 5, "completed", outputs=("y",), started_at=8).kinds == []

    def test_download_is_what_was_told(self) -> None:
        assert downloaded("x").kinds == []
        assert downloaded("y").kinds == [Kind.WRONG_BYTES]

    def test_download_without_told_url_is_compared_too(self) -> None:
        made = Made().get(0, 1, "completed", outputs=("x",))
        made.call(2, 3, "GET ", object_key=OUTPUT, got="y")

        assert made.kinds == [Kind.WRONG_BYTES]

    def test_damage_by_a_fault_is_left_out(self) -> None:
        made = downloaded("y")
        made.lines.append(Damaged(at_s=1.5, object_key=OUTPUT))

        assert made.kinds == []

    def test_source_is_what_was_uploaded(self) -> None:
        made = Made()
        made.call(0, 1, "PUT ", object_key=SOURCE, sha256="x")

        assert made.get(2, 3, "completed", file_id=FILE, source_sha256="x").kinds == []
        assert made.get(4, 5, "completed", file_id=FILE, source_sha256="y").kinds == [Kind.WRONG_SOURCE]


def downloaded(sha256: str) -> Made:
    made = Made()
    made.call(0, 1, "GET /conversions/{id}/outputs", id=ONE, objects=(ToldObject(OUTPUT, "x"),))
    made.call(2, 3, "GET ", object_key=OUTPUT, got=sha256)
    return made
