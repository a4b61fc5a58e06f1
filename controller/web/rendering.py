"""Templates and static files: everything is escaped, every file has its hash in its address."""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from controller import errors
from controller.quantities import size
from controller.web import words
from controller.web.forms import is_partial
from controller.web.guard import cookie_name

_HERE = Path(__file__).parent
STATIC = _HERE / "static"

# What the side of each page leads to: address, label, icon. A page that is added gets its line here.
NAVIGATION = (
    ("/executions", "Executions", "executions"),
    ("/new", "New execution", "new"),
    ("/flows", "Flows", "flows"),
    ("/messages", "Messages", "messages"),
    ("/schedules", "Schedules", "schedules"),
    ("/webhooks", "Webhooks", "webhooks"),
    ("/connections", "Connections", "connections"),
    ("/settings", "Settings", "settings"),
    ("/files", "Files", "files"),
    ("/locks", "Locks", "locks"),
    ("/system", "System", "system"),
)

STATUSES = {
    errors.InvalidArgument: 400,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.FailedPrecondition: 409,
    errors.ResourceExhausted: 507,
    errors.Unavailable: 503,
}

_log = logging.getLogger(__name__)


class StaticPages(StaticFiles):
    """Files that never change under their address."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "digest": words.digest,
        "size": size,
        "ms": words.milliseconds,
        "iso": words.iso,
        "utc": words.utc,
        "plural": words.plural,
        "with_found": words.with_found,
    }
    made.globals |= {
        "asset": _asset,
        "navigation": NAVIGATION,
        "duration": words.duration,
        "kind_words": words.KIND_WORDS,
        "status_words": words.STATUS_WORDS,
    }
    return made


@cache
def _asset(name: str) -> str:
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template with the values, as the answer."""
    return HTMLResponse(part(request, template, **values), status)


def part(request: Request, template: str, **values: Any) -> str:
    return _environment().get_template(template).render(request=request, csrf=request.state.csrf, **values)


def status_of(error: errors.FlowsnapError) -> int:
    return next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 500)


def refused(request: Request, error: errors.FlowsnapError) -> Response:
    """The core's words: beside what was asked for, or on a page of their own."""
    status = status_of(error)
    if is_partial(request):
        target = request.headers.get("x-errors-to", "#toasts")
        return HTMLResponse(
            part(request, "refusal.html", words=str(error)),
            status,
            {
                "HX-Retarget": target,
                "HX-Reswap": "innerHTML" if target != "#toasts" else "beforeend",
                "HX-Reselect": "unset",
            },
        )
    title = "Not found" if isinstance(error, errors.NotFound) else "Not done"
    return page(request, "error.html", status=status, title=title, words=str(error))


def went(request: Request, address: str) -> Response:
    """Somewhere else now."""
    return Response(headers={"HX-Redirect": address}) if is_partial(request) else RedirectResponse(address, 303)


def set_cookie(request: Request, response: Response, token: str, max_age_s: int) -> None:
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=max_age_s,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
