"""The whole of what the controller serves by HTTP: the pages behind their guard, and the webhooks."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from controller.config import Config
from controller.errors import FlowsnapError
from controller.web.events import Events
from controller.web.guard import Guard
from controller.web.pages.connections import ConnectionsPage
from controller.web.pages.execution import ExecutionPage
from controller.web.pages.executions import ExecutionsPage
from controller.web.pages.files import FilesPage
from controller.web.pages.flows import FlowsPage
from controller.web.pages.forking import ForkDialog
from controller.web.pages.inside import InsidePanel
from controller.web.pages.loading import LoadDialog
from controller.web.pages.locks import LocksPage
from controller.web.pages.login import LoginPage
from controller.web.pages.messages import MessagesPage
from controller.web.pages.new import NewPage
from controller.web.pages.schedules import SchedulesPage
from controller.web.pages.settings import SettingsPage
from controller.web.pages.system import SystemPage
from controller.web.pages.webhooks import WebhooksPage
from controller.web.parts import Parts, PlatformParts
from controller.web.rendering import STATIC, StaticPages, page, refused
from controller.web.webhooks import PATH, webhook_routes


def site(parts: Parts, platform: PlatformParts, config: Config) -> ASGIApp:
    """The application to be served at config.http_listen."""
    routes = [
        Route("/", _home),
        Mount("/static", StaticPages(directory=STATIC)),
        *LoginPage(parts.sessions).routes(),
        *ExecutionsPage(parts).routes(),
        *NewPage(parts).routes(),
        *LoadDialog(parts).routes(),
        *ForkDialog(parts).routes(),
        *InsidePanel(parts).routes(),
        *ExecutionPage(parts).routes(),
        *FlowsPage(parts).routes(),
        *SchedulesPage(parts, platform).routes(),
        *WebhooksPage(parts, platform).routes(),
        *MessagesPage(parts, platform).routes(),
        *ConnectionsPage(platform).routes(),
        *SettingsPage(platform).routes(),
        *FilesPage(platform).routes(),
        *LocksPage(parts, platform).routes(),
        *SystemPage(parts, platform).routes(),
        *Events(parts).routes(),
        *webhook_routes(platform.webhooks),
    ]
    app = Starlette(routes=routes, exception_handlers={FlowsnapError: _refused, HTTPException: _missing})
    return Guard(app, parts.sessions, config.http_listen, config.http_hosts, f"{PATH}/")


async def _home(request: Request) -> Response:  # noqa: ARG001
    return RedirectResponse("/executions", 303)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, FlowsnapError):
        raise error
    return refused(request, error)


async def _missing(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an address that leads nowhere, a method that is none of its own."""
    if not isinstance(error, HTTPException):
        raise error
    if request.url.path.startswith(f"{PATH}/"):
        return Response(error.detail, error.status_code, error.headers)
    return page(request, "error.html", status=error.status_code, title=error.detail, words=request.url.path)
