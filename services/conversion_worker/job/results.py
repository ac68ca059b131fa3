"""Uploads a job's products, or copies another conversion's outputs, under keys that hold the fencing token."""

from collections.abc import Sequence
from functools import partial

import msgspec

from conversion_worker.job.object_calls import ObjectCalls
from converto_core.conversion.cache_key import copied_outputs
from converto_core.conversion.record import Conversion, Output, readable_name
from converto_core.conversion.stored_outputs import copy_output
from converto_core.formats import BY_NAME
from converto_core.object_keys import output_key
from converto_core.ports.objects import ObjectStore
from converto_engines.converter import Product, Report
from converto_infra.clock import Clock
from converto_infra.concurrency import all_of
from converto_infra.retry import Retry

UPLOADS_AT_ONCE = 4
UPLOADED = 99.0  # percent of this part: 100 belongs to the update that makes the outputs visible


class JobResult(msgspec.Struct, frozen=True):
    """Verified outputs in the object store, the programs that made them, and notes on what they lack.

    `cached_from` is the conversion whose outputs were copied, None when this job ran the programs itself.
    """

    outputs: tuple[Output, ...]
    engine_versions: dict[str, str]
    notes: tuple[str, ...] = ()
    cached_from: str | None = None


class Results:
    """Writes outputs to the object store."""

    def __init__(self, objects: ObjectStore, clock: Clock) -> None:
        self._objects = objects
        self._object_calls = ObjectCalls(objects, clock)

    async def upload(
        self, claimed: Conversion, products: Sequence[Product], report: Report, retry: Retry
    ) -> tuple[Output, ...]:
        """Upload all products, a few at a time; return their outputs in order. Raises `ResultNotStored`."""
        pages = max((product.page or 0 for product in products), default=0)
        uploaded = 0

        async def upload(product: Product) -> Output:
            nonlocal uploaded
            output = await self._upload_one(claimed, product, pages, retry)
            uploaded += 1
            report(UPLOADED * uploaded / len(products), "uploading the result")
            return output

        report(0.0, "uploading the result")
        return tuple(await all_of([partial(upload, product) for product in products], at_once=UPLOADS_AT_ONCE))

    async def copy(self, claimed: Conversion, outputs: Sequence[Output]) -> tuple[Output, ...]:
        """Copy another conversion's outputs, a few at a time; return the proven copies, which belong to `claimed`.

        Raises `ResultLost` or `ObjectStoreUnavailable` without a retry: the engine can still run.
        """
        own = copied_outputs(claimed, outputs)
        copies = [
            partial(copy_output, self._objects, source, target) for source, target in zip(outputs, own, strict=True)
        ]
        return tuple(await all_of(copies, at_once=UPLOADS_AT_ONCE))

    async def _upload_one(self, claimed: Conversion, product: Product, pages: int, retry: Retry) -> Output:
        target = claimed.plan[-1].target_format
        name = f"result.{target}" if product.page is None else f"page-{product.page:05d}.{target}"
        key, content_type = output_key(claimed, name), BY_NAME[target].mime_type
        filename = readable_name(claimed.filename, target, product.page, pages)
        digest = await self._object_calls.write(
            lambda: self._objects.upload(product.path, key, content_type=content_type, filename=filename), retry
        )
        return Output(
            key=key,
            filename=filename,
            content_type=content_type,
            size_bytes=digest.size_bytes,
            sha256=digest.sha256,
            sha512=digest.sha512,
            page=product.page,
            etag=digest.etag,
        )
