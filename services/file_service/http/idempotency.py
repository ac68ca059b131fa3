"""One answer for a repeated request: Idempotency-Key, remembered per owner. It knows no route.

The ids of what a request may create are part of its reservation. So a repetition after a lost answer, or after its
server died half-way, finds what was created and cannot create it a second time.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from converto_core.access import NewIds, RememberedAnswer
from converto_core.errors import Conflict, ConvertoError, DependencyUnavailable, IdempotencyMismatch, RequestInFlight
from converto_core.ids import new_id, now_ms
from converto_core.ports.stores import AccessStore
from file_service.http.problem_details import FieldError, InvalidFields, problem_of

STALE_AFTER_MS = 5_000
"""A reservation this old is taken over: its server died, or is slow; serving twice with the same ids does no harm."""
LONGEST_KEY = 255
MOST_LEFT = 1000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back to the client: a status, a body and, for something new, its address."""

    status: int
    body: bytes
    location: str | None = None
    is_replayed: bool = False
    headers: dict[str, str] = {}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as far as repetition goes: who asked what, and under which key."""

    owner: str
    path: str
    request_id: str
    key: str | None


Work = Callable[[NewIds], Awaitable[Answer]]


class Idempotency:
    """Remembers final answers in the database, so that any API instance can repeat them."""

    def __init__(self, access: AccessStore, *, ttl_s: int) -> None:
        """`ttl_s`: how long an answer is remembered."""
        self._access = access
        self._ttl_ms = ttl_s * 1000
        self._left: dict[str, None] = {}
        """Reservations whose work has ended here, but which a database out of breath did not take back."""

    async def once(self, asked: Asked, content: Any, work: Work) -> Answer:
        """Do the work, or repeat the answer it had. `content` is what must be equal in a repetition.

        Raises `IdempotencyMismatch` for other content under the same key, `RequestInFlight` while it is being served.
        """
        if asked.key is None:
            return await work(_new_ids())
        if not (0 < len(asked.key) <= LONGEST_KEY and asked.key.isascii() and asked.key.isprintable()):
            raise InvalidFields(
                [FieldError("Idempotency-Key", f"must be 1 to {LONGEST_KEY} printable ASCII characters")]
            )
        claim = self._claim(asked, content)
        try:
            kept = await self._access.claim_answer(claim, stale_before_ms=claim.claimed_at - STALE_AFTER_MS)
        except DependencyUnavailable:
            self._leave(claim)  # it may be stored all the same
            raise
        is_ours = kept.claim == claim.claim or self._takes_up(kept, claim)
        return await self._serve(asked, kept, work) if is_ours else _replay(claim, kept)

    def _claim(self, asked: Asked, content: Any) -> RememberedAnswer:
        fingerprint = hashlib.sha256(asked.path.encode() + b"\n" + msgspec.json.encode(content, order="sorted"))
        now = now_ms()
        return RememberedAnswer(
            id=f"{asked.owner}:{asked.key}",
            body_sha256=fingerprint.hexdigest(),
            claimed_at=now,
            expires_at=now + self._ttl_ms,
            claim=new_id(),
            new_ids=_new_ids(),
        )

    async def _serve(self, asked: Asked, claim: RememberedAnswer, work: Work) -> Answer:
        is_settled = False
        try:
            answer = await work(claim.new_ids)
            is_settled = await self._remember(claim, answer)
        except ConvertoError as error:
            if _is_final(error):
                problem = problem_of(error, instance=asked.path, request_id=asked.request_id)
                is_settled = await self._remember(
                    claim, Answer(status=problem.status, body=msgspec.json.encode(problem))
                )
            raise
        finally:
            # Also on cancellation (the client went away): a reservation without a server would block the key.
            if not is_settled:
                await self._give_back(claim)
        return answer

    async def _remember(self, claim: RememberedAnswer, answer: Answer) -> bool:
        done = msgspec.structs.replace(claim, status=answer.status, body=answer.body.decode(), location=answer.location)
        try:
            await self._access.remember_answer(done)
        except DependencyUnavailable:
            self._leave(claim)  # the work is done and its answer is true; a repetition finds the same
        return True

    async def _give_back(self, claim: RememberedAnswer) -> None:
        try:
            await self._access.release_answer(claim)
        except DependencyUnavailable:
            self._leave(claim)  # another server takes it over when it is stale

    def _leave(self, claim: RememberedAnswer) -> None:
        self._left[claim.claim] = None
        if len(self._left) > MOST_LEFT:
            del self._left[next(iter(self._left))]

    def _takes_up(self, kept: RememberedAnswer, claim: RememberedAnswer) -> bool:
        """True for one repetition of a request that ended here: nobody is serving it any more."""
        is_same = kept.status == 0 and kept.body_sha256 == claim.body_sha256 and kept.claim in self._left
        if is_same:
            del self._left[kept.claim]
        return is_same


def _new_ids() -> NewIds:
    return NewIds(conversion_id=new_id(), file_id=new_id())


def _is_final(error: ConvertoError) -> bool:
    return 400 <= error.http_status < 500 and error.http_status not in {401, 429} and not isinstance(error, Conflict)


def _replay(claim: RememberedAnswer, known: RememberedAnswer) -> Answer:
    if known.body_sha256 != claim.body_sha256:
        raise IdempotencyMismatch("This Idempotency-Key was used for another request; take a new one")
    if known.status == 0:
        raise RequestInFlight("The first request with this Idempotency-Key is still being served; ask again shortly")
    return Answer(status=known.status, body=known.body.encode(), location=known.location, is_replayed=True)
