"""What stands beside executions, put together: settings, locks, files, messages, schedules, webhooks."""

from __future__ import annotations

from controller.api.file_service import FileService
from controller.api.message_service import MessageService
from controller.api.platform import PlatformServices
from controller.api.schedule_service import ScheduleService
from controller.api.setting_service import LockService, SettingService
from controller.api.web_service import WebService
from controller.api.webhook_service import WebhookService
from controller.connections import Connections
from controller.executions import Executions
from controller.files import Files
from controller.flow_calls.call import Handler
from controller.flow_calls.files import FileCalls
from controller.flow_calls.messages import MessageCalls
from controller.flow_calls.settings import SettingCalls
from controller.flows import Flows
from controller.locks import Locks
from controller.messages import Messages
from controller.retention import Retentions
from controller.schedules import Schedules
from controller.services import Services
from controller.settings import Settings
from controller.trial import Trial
from controller.watching import Watching
from controller.web.parts import Parts, PlatformParts
from controller.webhooks import Webhooks


class Platform:
    """Made with the controller, started when that serves, stopped before its services close."""

    def __init__(
        self,
        services: Services,
        executions: Executions,
        flows: Flows,
        watching: Watching,
        connections: Connections,
        retentions: Retentions,
        trial: Trial,
        web: Parts,
    ) -> None:
        self._config = services.config
        self._address = ""
        self._parts = web
        settings, files, locks, messages = Settings(services), Files(services), Locks(services), Messages(services)
        self._schedules = Schedules(services, executions, flows)
        self._webhooks = Webhooks(services, executions, flows, watching)
        self._platform_parts = PlatformParts(
            settings,
            files,
            locks,
            messages,
            self._schedules,
            self._webhooks,
            connections,
            retentions,
            trial,
            lambda: self._address,
        )
        self.handlers: dict[str, Handler] = {
            **SettingCalls(services, settings, locks).handlers(),
            **FileCalls(services, files).handlers(),
            **MessageCalls(messages).handlers(),
        }
        self.services = PlatformServices(
            SettingService(settings),
            LockService(locks),
            FileService(files),
            MessageService(messages),
            ScheduleService(self._schedules),
            WebhookService(self._webhooks, self._webhook_address),
            WebService(web.sessions, lambda: self._address),
        )

    async def listen(self) -> None:
        """Take the HTTP address. Raises Unavailable, InvalidArgument for one that can't be used."""
        if self._config.http_listen:
            # A controller without HTTP does not load it.
            from controller.web.server import WebServer
            from controller.web.site import site

            self._web = WebServer(site(self._parts, self._platform_parts, self._config))
            await self._web.bind(self._config.http_listen)
            self._address = self._web.address

    def start(self) -> None:
        """Run schedules, and serve HTTP where listen() took an address."""
        if self._address:
            self._web.serve()
        self._schedules.start()

    async def web_link(self) -> str:
        """Signs a browser in, once; empty where no HTTP is served."""
        if not self._address:
            return ""
        token, _ = await self._parts.sessions.new_link()
        return f"{self._address}/login?token={token}"

    async def start_nothing(self) -> None:
        """From now on by itself."""
        await self._schedules.stop()

    async def stop(self) -> None:
        """End HTTP; schedules end with the services."""
        if self._address:
            await self._web.stop()

    def _webhook_address(self) -> str:
        return f"{self._address}/webhook" if self._address else ""
