"""/system: the controller and its host, the store, what is kept, who is signed in."""

from __future__ import annotations

import asyncio
import platform
import shutil
from dataclasses import fields
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import InvalidArgument
from controller.host_checks import Check, Level, docker_checks, host_checks
from controller.model import KeepRule, KeepScope, Retention
from controller.ports import Database
from controller.system import system_info
from controller.thinning import BUILT_IN, merged
from controller.web.forms import field
from controller.web.guard import LOGIN
from controller.web.parts import Parts, PlatformParts
from controller.web.rendering import page, part, set_cookie, went

_SHARES_SHOWN = 10
_REMOVALS_SHOWN = 20
_PACKAGES = ("flowsnap", "grpcio", "sqlalchemy", "starlette", "docker", "cryptography")
_LONGEST_NUMBER = 18


class SystemPage:
    """One page, whose parts that take a while are asked for by buttons."""

    def __init__(self, parts: Parts, platform_parts: PlatformParts) -> None:
        self._services = parts.services
        self._sessions = parts.sessions
        self._retentions = platform_parts.retentions
        self._trial = platform_parts.trial
        self._address = platform_parts.address

    def routes(self) -> list[Route]:
        return [
            Route("/system", self._show),
            Route("/system/hosts", self._hosts),
            Route("/system/checks", self._checks, methods=["POST"]),
            Route("/system/trial", self._try, methods=["POST"]),
            Route("/system/gc", self._collect, methods=["POST"]),
            Route("/system/retention", self._retain, methods=["POST"]),
            Route("/system/retention/delete", self._forget_rule, methods=["POST"]),
            Route("/system/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        services = self._services
        rules = await self._retentions.list()
        default = next((one.rule for one in rules if one.scope is KeepScope.DEFAULT), KeepRule())
        return page(
            request,
            "system.html",
            info=await system_info(services),
            disk=await asyncio.to_thread(shutil.disk_usage, services.config.data_dir),
            address=self._address(),
            network=services.config.network,
            env_name=services.config.env_name,
            shares=await services.read(Database.store_shares, _SHARES_SHOWN),
            packages=[(name, version(name)) for name in _PACKAGES],
            python=platform.python_version(),
            kernel=platform.release(),
            rules=rules,
            effective=merged(default),
            built_in=BUILT_IN,
            keys=[one.name for one in fields(KeepRule)],
            flows=await services.read(Database.flow_names, 500),
            sessions=await self._sessions.list(request.state.session),
        )

    async def _hosts(self, request: Request) -> Response:
        """What containers are placed on; each is asked, which may take seconds."""
        return page(request, "system_hosts.html", hosts=await self._services.launcher.hosts())

    async def _checks(self, request: Request) -> Response:
        config = self._services.config

        def check() -> list[Check]:
            return [
                *(find_out() for _, find_out in host_checks(config.data_dir)),
                *docker_checks(config.container_image),
            ]

        found = await asyncio.to_thread(check)
        return page(request, "system_checks.html", checks=found)

    async def _try(self, request: Request) -> Response:
        """A real dump and restore."""
        result = await self._trial.run(self._services.config.container_image)
        words = result.detail
        if result.ok:
            times = f"dump {result.dump_us / 1000:.1f} ms, restore {result.restore_us / 1000:.1f} ms"
            words = f"CRIU {result.criu_version}: {times}"
        check = Check("trial", Level.ok if result.ok else Level.fail, words)
        return page(request, "system_checks.html", checks=[check])

    async def _collect(self, request: Request) -> Response:
        """?dry=1: only say what would go."""
        dry = "dry" in request.query_params
        garbage = await self._retentions.collect(dry_run=dry)
        body = part(request, "system_gc.html", garbage=garbage, dry=dry, shown=_REMOVALS_SHOWN)
        return HTMLResponse(body, headers={} if dry else {"HX-Trigger": "changed"})

    async def _retain(self, request: Request) -> Response:
        """Form: flow, empty for the default; the fields of a rule, empty ones are left to the wider rule."""
        flow = field(request, "flow").strip()
        given: dict[str, Any] = {}
        for one in fields(KeepRule):
            text = field(request, one.name).strip()
            if text and not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
                raise InvalidArgument(f"{one.name}: {text!r} is no whole number")
            given[one.name] = int(text) if text else None
        scope = KeepScope.FLOW if flow else KeepScope.DEFAULT
        await self._retentions.save(Retention(scope, flow, KeepRule(**given)))
        return _told(request, "The rule is saved")

    async def _forget_rule(self, request: Request) -> Response:
        """?scope=SCOPE&subject=WHOSE"""
        scope = request.query_params.get("scope", "")
        if scope not in KeepScope.__members__:
            raise InvalidArgument(f"{scope!r} is no scope of a rule")
        await self._retentions.delete(KeepScope(scope), request.query_params.get("subject", ""))
        return _told(request, "The rule is removed")

    async def _sign_out(self, request: Request) -> Response:
        """?session=ID, one of others; without it all, this one too."""
        session = request.query_params.get("session", "")
        if session:
            await self._sessions.end_one(session)
            return _told(request, "That browser is signed out")
        await self._sessions.end_all()
        response = went(request, LOGIN)
        set_cookie(request, response, "", 0)
        return response


def _told(request: Request, words: str) -> Response:
    return HTMLResponse(part(request, "toast.html", words=words, refusals=()), headers={"HX-Trigger": "changed"})
