"""The services beside executions, in one hand: what the server gets of them."""

from __future__ import annotations

from dataclasses import dataclass

from flowsnap.v1 import platform_pb2_grpc as rpc
from flowsnap.v1 import web_pb2_grpc
from grpc import aio

from controller.api.file_service import FileService
from controller.api.message_service import MessageService
from controller.api.schedule_service import ScheduleService
from controller.api.setting_service import LockService, SettingService
from controller.api.web_service import WebService
from controller.api.webhook_service import WebhookService


@dataclass(frozen=True, slots=True)
class PlatformServices:
    """Those of flowsnap/v1/platform.proto and web.proto."""

    settings: SettingService
    locks: LockService
    files: FileService
    messages: MessageService
    schedules: ScheduleService
    webhooks: WebhookService
    web: WebService

    def add_to(self, server: aio.Server) -> None:
        rpc.add_SettingServiceServicer_to_server(self.settings, server)
        rpc.add_LockServiceServicer_to_server(self.locks, server)
        rpc.add_FileServiceServicer_to_server(self.files, server)
        rpc.add_MessageServiceServicer_to_server(self.messages, server)
        rpc.add_ScheduleServiceServicer_to_server(self.schedules, server)
        rpc.add_WebhookServiceServicer_to_server(self.webhooks, server)
        web_pb2_grpc.add_WebServiceServicer_to_server(self.web, server)
