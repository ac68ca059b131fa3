"""The API's description and the page that shows it, both from our own files: nothing is fetched from elsewhere."""

import functools
import json
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from swagger_ui_bundle import swagger_ui_path

from file_service.http.openapi import SNAPSHOT, for_swagger_ui
from file_service.http.views import Views

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SERVED = {
    "swagger-ui.css": "text/css",
    "index.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
A_DAY = {"Cache-Control": "public, max-age=86400"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>converto API</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/index.css">
</head>
<body>
<noscript>This page needs JavaScript. The description itself is at <a href="openapi.json">openapi.json</a>.</noscript>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """window.addEventListener("load", function () {
  SwaggerUIBundle({
    url: "docs/openapi.json",
    dom_id: "#page",
    deepLinking: true,
    persistAuthorization: false,
    validatorUrl: null
  });
});
"""


@get("/", include_in_schema=False)
async def front_door(views: NamedDependency[Views]) -> Response[None]:
    """People who type the bare address are led to the page."""
    root = views.base.removesuffix("/api/v1")
    return Response(None, status_code=307, headers={"Location": f"{root}/api/docs"})


@get("/api/openapi.json", include_in_schema=False)
async def description() -> Response[bytes]:
    """OpenAPI 3.1, the same as the snapshot in the repository."""
    return Response(SNAPSHOT.read_bytes(), media_type="application/json", headers={"Cache-Control": "no-cache"})


@get("/api/docs", include_in_schema=False)
async def page() -> Response[str]:
    """The page."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


@get("/api/docs/{name:str}", include_in_schema=False)
async def page_file(name: FromPath[str]) -> Response[Any]:
    """What the page is made of."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=A_DAY)
    if name == "openapi.json":
        return Response(_readable_by_page(), media_type="application/json", headers={"Cache-Control": "no-cache"})
    if name not in SERVED:
        raise NotFoundException()
    return Response(_bytes_of(name), media_type=SERVED[name], headers=A_DAY)


@functools.cache
def _bytes_of(name: str) -> bytes:
    return Path(str(swagger_ui_path), name).read_bytes()


@functools.cache
def _readable_by_page() -> bytes:
    return json.dumps(for_swagger_ui(json.loads(SNAPSHOT.read_bytes()))).encode()
