"""/login: a link signs in once. Opening it only shows a button, so that what previews links does not use it up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from controller.errors import PermissionDenied
from controller.sessions import SESSION_LIFE, Sessions
from controller.web.forms import field
from controller.web.guard import LOGIN
from controller.web.rendering import page, set_cookie


class LoginPage:
    """Signing in and out."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, self._show),
            Route(LOGIN, self._sign_in, methods=["POST"]),
            Route("/logout", self._sign_out, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if request.state.session and not token:
            return RedirectResponse("/", 303)
        return page(request, "login.html", token=token, words="")

    async def _sign_in(self, request: Request) -> Response:
        """The token, or the whole link that was pasted."""
        token = field(request, "token").strip().rpartition("token=")[2]
        try:
            session, _ = await self._sessions.begin(token)
        except PermissionDenied as error:
            return page(request, "login.html", status=403, token="", words=str(error))
        response = RedirectResponse("/", 303)
        set_cookie(request, response, session, int(SESSION_LIFE.total_seconds()))
        return response

    async def _sign_out(self, request: Request) -> Response:
        await self._sessions.end(request.state.session)
        response = RedirectResponse(LOGIN, 303)
        set_cookie(request, response, "", 0)
        return response
