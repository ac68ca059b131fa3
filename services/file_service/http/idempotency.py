"""Replays the answer of a POST that is repeated with the same Idempotency-Key, per owner.

The reservation of a key holds the ids of the records that the request may create. A repeated request, after a lost
response or a crash half-way, finds those records instead of creating them again.
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
"""An older reservation is taken over, as its server died or is slow; serving twice with the same ids is harmless."""
MAX_KEY_LENGTH = 255
MAX_ABANDONED = 1000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response to store and replay; `location` is the URL of a new resource."""

    status: int
    body: bytes
    location: str | None = None
    is_replayed: bool = False
    headers: dict[str, str] = {}


class IdempotentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a request that identify a repetition; `key` is the Idempotency-Key."""

    owner: str
    path: str
    request_id: str
    key: str | None


Work = Callable[[NewIds], Awaitable[Answer]]


class Idempotency:
    """Stores final answers in the database, so that any API process can replay them."""

    def __init__(self, access: AccessStore, *, ttl_s: int) -> None:
        """`ttl_s` is how long an answer is stored."""
        self._access = access
        self._ttl_ms = ttl_s * 1000
        self._abandoned: dict[str, None] = {}
        """Reservations whose work has ended here, but which the database was too slow to store or to release."""

    async def once(self, request: IdempotentRequest, content: Any, work: Work) -> Answer:
        """Do the work, or replay its earlier answer; a repetition must have equal `content`.

        Raises `IdempotencyMismatch` for other content with the same key, `RequestInFlight` while the first is served.
        """
        if request.key is None:
            return await work(_new_ids())
        if not (0 < len(request.key) <= MAX_KEY_LENGTH and request.key.isascii() and request.key.isprintable()):
            raise InvalidFields(
                [FieldError("Idempotency-Key", f"must be 1 to {MAX_KEY_LENGTH} printable ASCII characters")]
            )
        claim = self._claim(request, content)
        try:
            kept = await self._access.claim_answer(claim, stale_before_ms=claim.claimed_at - STALE_AFTER_MS)
        except DependencyUnavailable:
            self._abandon(claim)  # it may have been stored nevertheless
            raise
        is_first = kept.claim == claim.claim or self._takes_over(kept, claim)
        return await self._serve(request, kept, work) if is_first else _replay(claim, kept)

    def _claim(self, request: IdempotentRequest, content: Any) -> RememberedAnswer:
        fingerprint = hashlib.sha256(request.path.encode() + b"\n" + msgspec.json.encode(content, order="sorted"))
        now = now_ms()
        return RememberedAnswer(
            id=f"{request.owner}:{request.key}",
            body_sha256=fingerprint.hexdigest(),
            claimed_at=now,
            expires_at=now + self._ttl_ms,
            claim=new_id(),
            new_ids=_new_ids(),
        )

    async def _serve(self, request: IdempotentRequest, claim: RememberedAnswer, work: Work) -> Answer:
        is_done = False
        try:
            answer = await work(claim.new_ids)
            is_done = await self._remember(claim, answer)
        except ConvertoError as error:
            if _is_final(error):
                problem = problem_of(error, instance=request.path, request_id=request.request_id)
                is_done = await self._remember(claim, Answer(status=problem.status, body=msgspec.json.encode(problem)))
            raise
        finally:
            # Also on cancellation (the client disconnected): a reservation that nobody serves would block the key.
            if not is_done:
                await self._release(claim)
        return answer

    async def _remember(self, claim: RememberedAnswer, answer: Answer) -> bool:
        done = msgspec.structs.replace(claim, status=answer.status, body=answer.body.decode(), location=answer.location)
        try:
            await self._access.remember_answer(done)
        except DependencyUnavailable:
            self._abandon(claim)  # the work is done and the answer is valid; a repetition finds the same records
        return True

    async def _release(self, claim: RememberedAnswer) -> None:
        try:
            await self._access.release_answer(claim)
        except DependencyUnavailable:
            self._abandon(claim)  # another process takes it over when it is stale

    def _abandon(self, claim: RememberedAnswer) -> None:
        self._abandoned[claim.claim] = None
        if len(self._abandoned) > MAX_ABANDONED:
            del self._abandoned[next(iter(self._abandoned))]

    def _takes_over(self, kept: RememberedAnswer, claim: RememberedAnswer) -> bool:
        """Return True once for a reservation abandoned here, which nobody serves any more."""
        is_same = kept.status == 0 and kept.body_sha256 == claim.body_sha256 and kept.claim in self._abandoned
        if is_same:
            del self._abandoned[kept.claim]
        return is_same


def _new_ids() -> NewIds:
    return NewIds(conversion_id=new_id(), file_id=new_id())


def _is_final(error: ConvertoError) -> bool:
    return 400 <= error.http_status < 500 and error.http_status not in {401, 429} and not isinstance(error, Conflict)


def _replay(claim: RememberedAnswer, known: RememberedAnswer) -> Answer:
    if known.body_sha256 != claim.body_sha256:
        raise IdempotencyMismatch("This Idempotency-Key was already used for a different request; use a new key")
    if known.status == 0:
        raise RequestInFlight(
            "An earlier request with this Idempotency-Key is still being processed; repeat the request in a moment"
        )
    return Answer(status=known.status, body=known.body.encode(), location=known.location, is_replayed=True)
