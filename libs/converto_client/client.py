"""The blocking client: `AsyncConverto` and `AsyncConversion` for code that has no event loop."""

from types import TracebackType
from typing import Self

import httpx2

from converto_client.admin import Admin
from converto_client.async_client import AsyncConverto
from converto_client.async_conversion import AsyncConversion
from converto_client.blocking import Blocking, EventLoop, blocking, blocking_as, iterating
from converto_client.models import ConversionRecord
from converto_client.retry import Retry
from converto_client.transfers.resume import ResumeStore
from converto_client.transport import ApiKey


class Conversion(Blocking[AsyncConversion]):
    """One conversion: wait for it, follow it, download its results. Made by `Converto`."""

    @property
    def id(self) -> str:
        """The conversion's id."""
        return self._wrapped.id

    @property
    def record(self) -> ConversionRecord:
        """The record as of the last answer from the server."""
        return self._wrapped.record

    def _self(self, _: AsyncConversion) -> "Conversion":
        return self

    refresh = blocking(AsyncConversion.refresh)
    wait = blocking_as(AsyncConversion.wait, _self)
    follow = blocking_as(AsyncConversion.follow, _self)
    events = iterating(AsyncConversion.events)
    outputs = blocking(AsyncConversion.outputs)
    save = blocking(AsyncConversion.save)
    cancel = blocking(AsyncConversion.cancel)
    retry = blocking(AsyncConversion.retry)
    delete = blocking(AsyncConversion.delete)
    forget = blocking(AsyncConversion.forget)


class Converto(Blocking[AsyncConverto]):
    """A client of one file service. Use it in a `with` statement, or call `close()`.

    The first call starts a thread with an event loop; a forked process starts its own.
    """

    def __init__(
        self,
        url: str,
        api_key: ApiKey = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        resume: ResumeStore | None = None,
        http: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Arguments as for `AsyncConverto`; raises ValueError for a malformed URL."""
        client = AsyncConverto(url, api_key, timeout_s=timeout_s, retry=retry, resume=resume, http=http)
        # A forked process must not use its parent's connections, nor close them: the parent's event loop watches them.
        super().__init__(EventLoop(client.aclose, after_fork=client._transport.forget_connections), client)

    @property
    def admin(self) -> Admin:
        """Calls that need an administrator's key."""
        return Admin(self._event_loop, self._wrapped.admin)

    def __enter__(self) -> Self:
        """Sends nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """End the calls of all threads (they raise RuntimeError), close all connections and stop the event loop."""
        self._event_loop.close()

    def _conversion(self, conversion: AsyncConversion) -> Conversion:
        return Conversion(self._event_loop, conversion)

    convert = blocking_as(AsyncConverto.convert, _conversion)
    upload = blocking(AsyncConverto.upload)
    convert_uploaded = blocking_as(AsyncConverto.convert_uploaded, _conversion)
    conversion = blocking_as(AsyncConverto.conversion, _conversion)
    status = blocking(AsyncConverto.status)
    page = blocking(AsyncConverto.page)
    conversions = iterating(AsyncConverto.conversions)
    history = blocking(AsyncConverto.history)
    outputs = blocking(AsyncConverto.outputs)
    cancel = blocking(AsyncConverto.cancel)
    retry = blocking(AsyncConverto.retry)
    delete = blocking(AsyncConverto.delete)
    file = blocking(AsyncConverto.file)
    files = blocking(AsyncConverto.files)
    delete_file = blocking(AsyncConverto.delete_file)
    events = iterating(AsyncConverto.events)
    formats = blocking(AsyncConverto.formats)
    plan = blocking(AsyncConverto.plan)
    workers = blocking(AsyncConverto.workers)
    whoami = blocking(AsyncConverto.whoami)
    health = blocking(AsyncConverto.health)
