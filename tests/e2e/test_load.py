"""Many concurrent clients against the running stack: nothing is lost, and every request gets a valid response.

Proves C11, I15. `bench/load` measures how fast it is.
"""

from collections import Counter
from pathlib import Path

import httpx2

from deploy.local.stack.stack import Stack
from tests.answers import Answers
from tests.assets.drawing.numbered_pictures import write_many
from tests.crowd import Server, convert_all, show_all

POLL_S = 0.3


async def test_displays_show_results_of_thirty_concurrent_uploads(
    stack: Stack, http: httpx2.Client, tmp_path: Path
) -> None:
    """I15: ten displays and thirty simultaneous uploads."""
    answers = Answers(stack.url)
    sources = list(write_many(tmp_path, 30, weight_bytes=100_000))
    before = completed(http)

    shown = await show_all(Server(stack.url, stack.api_key, answers), sources, displays=10, poll_s=POLL_S)

    assert len(shown) == 30
    assert all(size_bytes > 0 for size_bytes in shown)
    assert len(completed(http) - before) == 30
    assert answers.unexpected == Counter()
    assert answers.disobeyed == 0


async def test_twenty_concurrent_clients_are_each_served_once(
    stack: Stack, http: httpx2.Client, tmp_path: Path
) -> None:
    """I15: sixty conversions from twenty clients."""
    answers = Answers(stack.url)
    sources = list(write_many(tmp_path, 60))
    before = completed(http)

    statuses = await convert_all(Server(stack.url, stack.api_key, answers), sources, clients=20, at_once=3)

    assert Counter(statuses) == {"completed": 60}
    assert len(completed(http) - before) == 60
    assert answers.unexpected == Counter()
    assert answers.disobeyed == 0


def completed(http: httpx2.Client) -> set[str]:
    """The ids of all completed conversions."""
    found: set[str] = set()
    after: str | None = None
    while True:
        query = {"status": "completed", "limit": "200"} | ({"after": after} if after else {})
        page = http.get("/api/v1/conversions", params=query).json()
        found |= {one["id"] for one in page["conversions"]}
        after = page["next"]
        if after is None:
            return found
