"""The production code under random interleavings, in fake time, checked against a reference model.

Promises 1 to 3, behaviours C4, C8, I4, I8, I10, M14. Two hundred seeds run here, ten thousand and more by `make model`.
"""

from collections import Counter

from tests.unit.model.seeds import explorer

SEEDS = range(200)
REACHED = {
    "answers replayed", "requests in flight", "copied",
    "api: awaiting_upload -> completed (completed)",
    "api: completed deleted",
    "api: failed -> pending (retried)",
    "api: pending -> cancelled (cancelled)",
    "housekeeper: awaiting_upload -> expired (upload_expired)",
    "housekeeper: awaiting_upload -> pending (queued)",
    "housekeeper: completed -> expired (result_expired)",
    "housekeeper: expired deleted",
    "housekeeper: failed deleted",
    "housekeeper: pending -> pending",
    "housekeeper: processing -> pending (worker_lost)",
    "worker: pending -> pending",
    "worker: processing -> completed (completed)",
    "worker: processing -> failed (failed)",
    "worker: processing -> pending (attempt_failed)",
    "worker: processing -> pending (handed_back)",
    "worker: processing -> pending (waits_for_another)",
}  # fmt: skip
"""What the seeds have to reach: otherwise their checks would mean nothing."""


def test_nothing_is_lost_stuck_or_done_twice() -> None:
    """Two file services, two housekeepers, three workers, users, and a network that loses answers."""
    seen, failed = Counter[str](), list[int]()
    with explorer() as exploring:
        for seed, run in exploring.runs(SEEDS):
            seen += run.seen
            if run.fault is not None:
                failed.append(seed)
        failures = [str(failure) for failure in exploring.failures(sorted(failed)[:2])]

    assert not failed, "\n\n".join([f"seeds {sorted(failed)} failed", *failures])
    assert {what for what in REACHED if not seen[what]} == set()
