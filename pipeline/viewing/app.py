"""The pages of `sluice view` as a web application: addresses, errors, files."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPError

from pipeline.viewing.guard import Guard
from pipeline.viewing.opened_run import Viewer
from pipeline.viewing.pages import pairs, reviewing, row_map, rows, scores, trying, verdict
from storage.database import QueryError, WorkspaceBusyError, WorkspaceMissingError
from storage.visible import harmless

FILES = {
    "view.css": "text/css",
    "view.js": "text/javascript",
    "scores.js": "text/javascript",
    "map.js": "text/javascript",
}

PAGES = tuple(page.router for page in (verdict, rows, scores, row_map, pairs, trying, reviewing))

BUSY = "the workspace is being written to, and was for a minute; load the page again\n"


def make_app(viewer: Viewer, token: str, hosts: Sequence[str]) -> Guard:
    """The application.

    Args:
        viewer: the workspace that is looked at.
        token: what a browser must know.
        hosts: names with ports by which it may be asked for.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.viewer = viewer
    for router in PAGES:
        app.include_router(router)
    app.add_api_route("/static/{name}", send_file)
    app.add_exception_handler(AnyHTTPError, tell_refusal)
    app.add_exception_handler(WorkspaceBusyError, tell_busy)
    app.add_exception_handler(QueryError, tell_fault)
    app.add_exception_handler(WorkspaceMissingError, tell_fault)
    return Guard(app, token, hosts)


def send_file(name: str) -> Response:
    """A file of ours, by its name alone."""
    if name not in FILES:
        raise HTTPException(404, "there is no such file")
    return FileResponse(Path(__file__).parent / "static" / name, media_type=FILES[name])


def tell_refusal(_: Request, error: Exception) -> Response:
    """What was wrong with an address, in plain text."""
    assert isinstance(error, AnyHTTPError)
    return PlainTextResponse(f"{harmless(str(error.detail))}\n", error.status_code)


def tell_busy(_: Request, error: Exception) -> Response:
    """Somebody writes."""
    return PlainTextResponse(f"{BUSY}{harmless(str(error))}\n", 503)


def tell_fault(_: Request, error: Exception) -> Response:
    """What is not in the workspace, as a command would say it."""
    return PlainTextResponse(f"{harmless(str(error))}\n", 404)
