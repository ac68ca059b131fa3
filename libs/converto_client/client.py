"""The client for code without an event loop: the same names as the asynchronous one, which does all the work."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from converto_client.admin import Admin
from converto_client.async_client import AsyncConverto
from converto_client.async_conversion import AsyncConversion, ignore
from converto_client.models import (
    ConversionPage,
    ConversionRecord,
    FilePage,
    FileRecord,
    Formats,
    Health,
    History,
    Identity,
    OutputLink,
    Plan,
    Workers,
)
from converto_client.portal import Portal
from converto_client.retry import Retry
from converto_client.transfers.resume import ResumeStore
from converto_client.transfers.source import OnBytes


class Converto:
    """A client of one file service; each method is described at `AsyncConverto`. Use `with`, or `close()` it."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        resume: ResumeStore | None = None,
        http: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`timeout_s` is the longest silence of the server in seconds; raises ValueError for a URL of no use."""
        self._portal = Portal()
        self._client = AsyncConverto(url, api_key, timeout_s=timeout_s, retry=retry, resume=resume, http=http)

    @property
    def admin(self) -> Admin:
        """What only an administrator's key may ask."""
        return Admin(self._portal, self._client.admin)

    def __enter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread behind them."""
        self._portal.run(self._client.aclose())
        self._portal.close()

    def convert(
        self,
        source: str | Path,
        to: str,
        *,
        options: Mapping[str, Any] | None = None,
        client_id: str | None = None,
        lane: str | None = None,
        fresh: bool = False,
        append: Sequence[str | Path] = (),
        on_bytes: OnBytes = ignore,
    ) -> "Conversion":
        """Upload a local file and have it converted; returns as soon as the server has confirmed the upload.

        Files of `append` are uploaded too and joined to the end of the first, in order (PDF to PDF). With `fresh` the
        programs run even when the same was made before.
        """
        work = self._client.convert(
            source, to, options=options, client_id=client_id, lane=lane, fresh=fresh, append=append, on_bytes=on_bytes
        )
        return Conversion(self._portal, self._portal.run(work))

    def upload(self, source: str | Path, *, client_id: str | None = None, on_bytes: OnBytes = ignore) -> FileRecord:
        """Upload a local file without converting it."""
        return self._portal.run(self._client.upload(source, client_id=client_id, on_bytes=on_bytes))

    def convert_uploaded(
        self,
        file_id: str,
        to: str,
        *,
        options: Mapping[str, Any] | None = None,
        client_id: str | None = None,
        lane: str | None = None,
        fresh: bool = False,
        append_file_ids: Sequence[str] = (),
    ) -> "Conversion":
        """Have a file converted that is at the server already, joined with others that are (`append_file_ids`)."""
        work = self._client.convert_uploaded(
            file_id, to, options=options, client_id=client_id, lane=lane, fresh=fresh, append_file_ids=append_file_ids
        )
        return Conversion(self._portal, self._portal.run(work))

    def conversion(self, conversion_id: str) -> "Conversion":
        """A handle on a conversion that exists."""
        return Conversion(self._portal, self._portal.run(self._client.conversion(conversion_id)))

    def status(self, conversion_id: str) -> ConversionRecord:
        """How a conversion stands."""
        return self._portal.run(self._client.status(conversion_id))

    def page(
        self,
        *,
        status: Iterable[str] = (),
        client_id: str | None = None,
        file_id: str | None = None,
        target_format: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ConversionPage:
        """One page of conversions, newest first; `after` is the `next` of the page before."""
        return self._portal.run(
            self._client.page(
                status=status,
                client_id=client_id,
                file_id=file_id,
                target_format=target_format,
                limit=limit,
                after=after,
            )
        )

    def conversions(
        self,
        *,
        status: Iterable[str] = (),
        client_id: str | None = None,
        file_id: str | None = None,
        target_format: str | None = None,
    ) -> Iterator[ConversionRecord]:
        """All conversions, newest first, page after page as they are needed."""
        return self._portal.iterate(
            self._client.conversions(status=status, client_id=client_id, file_id=file_id, target_format=target_format)
        )

    def history(self, conversion_id: str) -> History:
        """What happened to a conversion, oldest first."""
        return self._portal.run(self._client.history(conversion_id))

    def outputs(self, conversion_id: str) -> tuple[OutputLink, ...]:
        """The results of a completed conversion with fresh presigned URLs."""
        return self._portal.run(self._client.outputs(conversion_id))

    def cancel(self, conversion_id: str) -> ConversionRecord:
        """Stop a conversion; a running one stops at its worker's next heartbeat."""
        return self._portal.run(self._client.cancel(conversion_id))

    def retry(self, conversion_id: str) -> ConversionRecord:
        """Run a failed, cancelled or expired conversion again."""
        return self._portal.run(self._client.retry(conversion_id))

    def delete(self, conversion_id: str) -> None:
        """Remove a finished conversion and its results."""
        self._portal.run(self._client.delete(conversion_id))

    def file(self, file_id: str) -> FileRecord:
        """The record of an uploaded file."""
        return self._portal.run(self._client.file(file_id))

    def files(self, *, limit: int = 50, after: str | None = None) -> FilePage:
        """One page of uploaded files, newest first."""
        return self._portal.run(self._client.files(limit=limit, after=after))

    def delete_file(self, file_id: str) -> None:
        """Remove an uploaded file; conversions that still wait for it are cancelled."""
        self._portal.run(self._client.delete_file(file_id))

    def events(self, *, client_id: str | None = None) -> Iterator[ConversionRecord]:
        """Every change of all my conversions (of this label), live and without end."""
        return self._portal.iterate(self._client.events(client_id=client_id))

    def formats(self, source: str | None = None, target: str | None = None, *, sleeping: bool = False) -> Formats:
        """What the running workers convert (with `sleeping` also what others will), options as JSON Schema."""
        return self._portal.run(self._client.formats(source, target, sleeping=sleeping))

    def plan(
        self,
        to: str,
        *,
        source: str | None = None,
        filename: str | None = None,
        file_id: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """How a conversion would go, without making one: of a format, a file name or an uploaded file."""
        work = self._client.plan(to, source=source, filename=filename, file_id=file_id, options=options)
        return self._portal.run(work)

    def workers(self) -> Workers:
        """Which workers there are and what they run."""
        return self._portal.run(self._client.workers())

    def whoami(self) -> Identity:
        """Whose key this is."""
        return self._portal.run(self._client.whoami())

    def health(self) -> Health:
        """How the server and each of its dependencies are."""
        return self._portal.run(self._client.health())


class Conversion:
    """One conversion: wait for it, follow it, fetch its results; each method is described at `AsyncConversion`."""

    def __init__(self, portal: Portal, conversion: AsyncConversion) -> None:
        """Made by `Converto`, not by hand."""
        self._portal = portal
        self._conversion = conversion

    @property
    def id(self) -> str:
        """The conversion's id."""
        return self._conversion.id

    @property
    def record(self) -> ConversionRecord:
        """How it stood when we last heard."""
        return self._conversion.record

    def refresh(self) -> ConversionRecord:
        """Ask how it stands now."""
        return self._portal.run(self._conversion.refresh())

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until it is completed; raises `ConversionFailed`, or `WaitTimeout` after `timeout_s` seconds."""
        self._portal.run(self._conversion.wait(timeout_s))
        return self

    def follow(self, on_change: Callable[[ConversionRecord], None], timeout_s: float | None = None) -> Self:
        """Like `wait`, and calls `on_change` (in the client's thread) with every change on the way."""
        self._portal.run(self._conversion.follow(on_change, timeout_s))
        return self

    def events(self) -> Iterator[ConversionRecord]:
        """Every change of it, live, until it has ended."""
        return self._portal.iterate(self._conversion.events())

    def outputs(self) -> tuple[OutputLink, ...]:
        """Its results with fresh presigned URLs."""
        return self._portal.run(self._conversion.outputs())

    def save(self, target: str | Path = ".", *, overwrite: bool = False, on_bytes: OnBytes = ignore) -> list[Path]:
        """Fetch all results into a folder, or a single one under the name given; returns the paths in page order."""
        return self._portal.run(self._conversion.save(target, overwrite=overwrite, on_bytes=on_bytes))

    def cancel(self) -> ConversionRecord:
        """Stop it; a running one stops at its worker's next heartbeat."""
        return self._portal.run(self._conversion.cancel())

    def retry(self) -> ConversionRecord:
        """Run it again after it failed, was cancelled or expired."""
        return self._portal.run(self._conversion.retry())

    def delete(self) -> None:
        """Remove it and its results."""
        self._portal.run(self._conversion.delete())

    def forget(self) -> None:
        """Let the same call begin something new next time, even though these results were not fetched."""
        self._portal.run(self._conversion.forget())
