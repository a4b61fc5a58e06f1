"""What stands beside executions, put together: settings, locks, files, messages, schedules, webhooks."""

from __future__ import annotations

from controller.api.file_service import FileService
from controller.api.message_service import MessageService
from controller.api.platform import PlatformServices
from controller.api.schedule_service import ScheduleService
from controller.api.setting_service import LockService, SettingService
from controller.api.webhook_service import WebhookService
from controller.executions import Executions
from controller.files import Files
from controller.flow_calls.call import Handler
from controller.flow_calls.files import FileCalls
from controller.flow_calls.messages import MessageCalls
from controller.flow_calls.settings import SettingCalls
from controller.flows import Flows
from controller.locks import Locks
from controller.messages import Messages
from controller.schedules import Schedules
from controller.services import Services
from controller.settings import Settings
from controller.watching import Watching
from controller.webhooks import Webhooks


class Platform:
    """Made with the controller, started when that serves, stopped before its services close."""

    def __init__(self, services: Services, executions: Executions, flows: Flows, watching: Watching) -> None:
        self._listen = services.config.http_listen
        self._address = ""
        settings, files, locks, messages = Settings(services), Files(services), Locks(services), Messages(services)
        self._schedules = Schedules(services, executions, flows)
        self._webhooks = Webhooks(services, executions, flows, watching)
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
            WebhookService(self._webhooks, lambda: self._address),
        )

    async def listen(self) -> None:
        """Take the HTTP address. Raises Unavailable, InvalidArgument for one that can't be used."""
        if self._listen:
            # A controller without HTTP does not load it.
            from controller.web.server import WebServer
            from controller.web.webhooks import PATH, webhook_app

            self._web = WebServer(webhook_app(self._webhooks))
            await self._web.bind(self._listen)
            self._address = self._web.address + PATH

    def start(self) -> None:
        """Run schedules, and serve HTTP where listen() took an address."""
        if self._listen:
            self._web.serve()
        self._schedules.start()

    async def stop(self) -> None:
        """End HTTP; schedules end with the services."""
        if self._listen:
            await self._web.stop()
