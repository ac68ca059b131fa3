"""The OpenAPI description and its documentation page, served only from files in this repository."""

from pathlib import Path
from typing import Final

from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.static_files import create_static_files_router

from file_service.http.openapi import SNAPSHOT
from file_service.http.views import Views

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
A_DAY_S: Final = 86400
STATIC: Final = Path(__file__).parents[1] / "static"
"""Our page, and below it Swagger UI as its npm package ships it (`make swagger-ui`)."""


@get("/", include_in_schema=False)
async def redirect_to_page(views: NamedDependency[Views]) -> Response[None]:
    """Redirect visitors of the bare address to the documentation page."""
    root = views.base.removesuffix("/api/v1")
    return Response(None, status_code=307, headers={"Location": f"{root}/api/docs"})


@get(["/api/openapi.json", "/api/docs/openapi.json"], include_in_schema=False)
async def openapi_description() -> Response[bytes]:
    """Return the OpenAPI 3.1 snapshot kept in the repository."""
    return Response(SNAPSHOT.read_bytes(), media_type="application/json", headers={"Cache-Control": "no-cache"})


@get("/api/docs", include_in_schema=False)
async def docs_page() -> Response[bytes]:
    """Return the documentation page, which may load scripts and styles from this server only."""
    page = (STATIC / "index.html").read_bytes()
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


def docs_files() -> Router:
    """Return the router that serves the page's scripts, styles and icon."""
    return create_static_files_router(
        "/api/docs",
        directories=[STATIC, STATIC / "swagger-ui"],
        cache_control=CacheControlHeader(public=True, max_age=A_DAY_S),
    )
