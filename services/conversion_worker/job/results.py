"""The last half of a job: verified products from the job's folder into the object store. It changes no status."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from conversion_worker.concurrency import all_of
from conversion_worker.retry import DeadlineRetry
from converto_core.conversion.cache_key import copied_outputs
from converto_core.conversion.record import Conversion, Output, readable_name
from converto_core.formats import BY_NAME
from converto_core.object_keys import output_key
from converto_core.ports.objects import ObjectStore
from converto_engines.converter import Product, Report

UPLOADS_AT_ONCE = 4
ALMOST_ALL = 99.0  # percent of this part: 100 belongs to the update that makes the results visible


class Results:
    """Where results go."""

    def __init__(self, objects: ObjectStore) -> None:
        """The object store is passed in."""
        self._objects = objects

    async def upload(
        self, claimed: Conversion, products: Sequence[Product], report: Report, patience: DeadlineRetry
    ) -> tuple[Output, ...]:
        """Upload all products, a few side by side, under keys that hold the token; in order of the products."""
        pages = max((product.page or 0 for product in products), default=0)
        arrived = 0

        async def upload(product: Product) -> Output:
            nonlocal arrived
            output = await self._upload_one(claimed, product, pages, patience)
            arrived += 1
            report(ALMOST_ALL * arrived / len(products), "uploading the result")
            return output

        report(0.0, "uploading the result")
        return tuple(await all_of([_later(upload, product) for product in products], at_once=UPLOADS_AT_ONCE))

    async def copy(self, claimed: Conversion, outputs: Sequence[Output]) -> tuple[Output, ...]:
        """Copy another conversion's outputs, a few side by side, and make them this one's own.

        Raises `SourceGone` or `ObjectStoreUnavailable` without trying again: the engine can still run.
        """
        own = copied_outputs(claimed, outputs)
        copies = [partial(self._copy_one, source, target) for source, target in zip(outputs, own, strict=True)]
        await all_of(copies, at_once=UPLOADS_AT_ONCE)
        return own

    async def _copy_one(self, source: Output, target: Output) -> None:
        await self._objects.copy(
            source.key,
            target.key,
            size_bytes=target.size_bytes,
            content_type=target.content_type,
            filename=target.filename,
        )

    async def _upload_one(self, claimed: Conversion, product: Product, pages: int, patience: DeadlineRetry) -> Output:
        target = claimed.plan[-1].target_format
        name = f"result.{target}" if product.page is None else f"page-{product.page:05d}.{target}"
        key, content_type = output_key(claimed, name), BY_NAME[target].mime_type
        filename = readable_name(claimed.filename, target, product.page, pages)
        digest = await patience.repeat(
            lambda: self._objects.upload(product.path, key, content_type=content_type, filename=filename)
        )
        return Output(
            key=key,
            filename=filename,
            content_type=content_type,
            size_bytes=digest.size_bytes,
            sha256=digest.sha256,
            sha512=digest.sha512,
            page=product.page,
        )


def _later(
    upload: Callable[[Product], Coroutine[Any, Any, Output]], product: Product
) -> Callable[[], Coroutine[Any, Any, Output]]:
    return lambda: upload(product)
