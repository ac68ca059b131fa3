"""Sends ranges of a local file with presigned requests, and repeats what may succeed when it is sent again.

It tells apart why a request failed: the connection broke, the store refused the bytes, the URL has expired, or the
store has lost the upload to which a part belongs.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import httpx2

from converto_client.errors import ClientError, DependencyUnavailable, ServerUnreachable, TransferError
from converto_client.models import PartRequest, Upload
from converto_client.transfers.source import OnBytes, Source
from converto_client.transport import Transport

Answer = TypeVar("Answer")

_FORBIDDEN, _NOT_FOUND = 403, 404
_TRANSIENT_STATUSES = frozenset({_FORBIDDEN, 408, 429, 500, 502, 503, 504})
"""403 is included because an expired presigned URL answers it; the next attempt gets a new URL."""
_NO_UPLOAD = frozenset({"NoSuchUpload", ""})
"""Codes of a 404 for a part; `NoSuchBucket`, for one, is not among them."""


class TransientRefusal(ClientError):
    """The store refused the bytes, but a retry may succeed."""


async def retry(
    transport: Transport, what_failed: str, attempt: Callable[[int], Awaitable[Answer]], *, what_next: str = ""
) -> Answer:
    """Call `attempt` with 1, 2, 3 … until it succeeds, with growing pauses; raises `TransferError` in the end.

    A store that does not answer may be restarting, so it gets more attempts than one that refuses.
    """
    number, paused_s = 0, 0.0
    while True:
        number += 1
        try:
            return await attempt(number)
        except (TransientRefusal, ServerUnreachable, DependencyUnavailable) as error:
            is_outage = not isinstance(error, TransientRefusal)
            if not transport.retry.may_send_again(number, paused_s=paused_s if is_outage else None):
                raise TransferError(f"{what_failed}: {str(error).rstrip('.')}{what_next}") from error
            pause_s = transport.retry.pause_s(number, getattr(error, "retry_after_s", None))
            paused_s += pause_s
            await transport.sleep(pause_s)


async def put(
    transport: Transport, request: Upload | PartRequest, source: Source, *, start: int, length: int, on_bytes: OnBytes
) -> httpx2.Response:
    """Send one range of the file once; a failed attempt is subtracted from the progress."""
    counted = 0

    def count(sent: int) -> None:
        nonlocal counted
        counted += sent
        on_bytes(sent)

    # The signature covers the exact length, and httpx2 sends none for a streamed body.
    headers = {**httpx2.Headers(request.headers), "content-length": str(length)}
    try:
        async with aclosing(source.chunks(start, length, count)) as content:
            response = await transport.store_request(request.method, request.url, headers=headers, content=content)
        _check(response, source.filename, is_part=isinstance(request, PartRequest))
    except ClientError:
        on_bytes(-counted)
        raise
    return response


def _check(response: httpx2.Response, filename: str, *, is_part: bool) -> None:
    if response.is_success:
        return
    found = re.search(r"<Code>(\w{1,64})</Code>", response.text)
    code = found[1] if found else ""
    answer = f"{response.status_code} ({code})" if code else str(response.status_code)
    if is_part and response.status_code == _NOT_FOUND and code in _NO_UPLOAD:
        raise TransientRefusal(
            f"The object store has lost the upload (it answered {answer}), because it was restarted or has aborted it"
        )
    if response.status_code == _FORBIDDEN:
        raise TransientRefusal(f"The object store answered {answer}: the upload URL has expired or is not accepted")
    if response.status_code in _TRANSIENT_STATUSES:
        raise TransientRefusal(f"The object store answered {answer}")
    raise TransferError(f"The object store refused {filename}: it answered {answer}")
