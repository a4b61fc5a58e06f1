"""Webhooks: flows that start for an HTTP request which brings the right key."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable
from controller.executions import Executions, NewExecution
from controller.flows import Flows, make_flow
from controller.model import Execution, Webhook
from controller.ports import Database
from controller.services import Services
from controller.tokens import token_hash
from controller.values import checked_name, packed
from controller.watching import Watching

DEFAULT_TIMEOUT_S = 60
LONGEST_TIMEOUT_S = 3600
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What a client asks for: script empty for a pushed flow, timeout 0 for the default."""

    name: str
    flow_name: str
    script: str
    synchronous: bool
    timeout_s: int
    new_key: bool


class Webhooks:
    """Saved by operators; called by whoever has the key."""

    def __init__(self, services: Services, executions: Executions, flows: Flows, watching: Watching) -> None:
        self._services = services
        self._executions = executions
        self._flows = flows
        self._watching = watching

    async def save(self, new: NewWebhook) -> tuple[Webhook, str]:
        """Create or replace; with its key when that is new: only its hash is kept, so nobody can show it again.

        Raises InvalidArgument, NotFound for a flow that was not pushed.
        """
        services = self._services
        checked_name(new.name, "the webhook's name")
        if "/" in new.name:
            raise InvalidArgument(f"the webhook's name {new.name!r} is a part of its address; leave out the slash")
        if not 0 <= new.timeout_s <= LONGEST_TIMEOUT_S:
            raise InvalidArgument(f"webhook {new.name!r}: the timeout has to be 1 to {LONGEST_TIMEOUT_S} s")
        if new.script:
            make_flow(new.script, new.flow_name or "flow.py", max_bytes=services.config.max_value_bytes)
        elif new.flow_name:
            await self._flows.newest(new.flow_name)
        else:
            raise InvalidArgument(f"webhook {new.name!r}: name the flow that it starts")
        webhook = Webhook(
            name=new.name,
            flow_name=new.flow_name,
            script=new.script,
            key_hash="",
            synchronous=new.synchronous,
            timeout_s=new.timeout_s or DEFAULT_TIMEOUT_S,
            created_at=services.clock.now(),
        )
        before = await services.db(Database.webhook, new.name)
        key = ""
        if before is None or new.new_key:
            key = secrets.token_urlsafe(_KEY_BYTES)
        webhook = replace(
            webhook,
            key_hash=token_hash(key) if key or before is None else before.key_hash,
            created_at=webhook.created_at if before is None else before.created_at,
        )
        await services.db(Database.save_webhook, webhook)
        return webhook, key

    async def list(self) -> Sequence[Webhook]:
        """By name."""
        return await self._services.db(Database.webhooks)

    async def get(self, name: str) -> Webhook:
        """Raises NotFound."""
        found = await self._services.db(Database.webhook, name)
        if found is None:
            raise _missing(name)
        return found

    async def delete(self, name: str) -> None:
        """Raises NotFound."""
        if not await self._services.db(Database.delete_webhook, name):
            raise _missing(name)

    async def admitted(self, name: str, key: str) -> Webhook:
        """The webhook, for who has its key. Raises NotFound, PermissionDenied."""
        webhook = await self.get(name)
        if not hmac.compare_digest(token_hash(key).encode(), webhook.key_hash.encode()):
            raise PermissionDenied(f"webhook {name!r}: the key is missing or wrong")
        return webhook

    async def start(self, webhook: Webhook, request: dict[str, Any]) -> Execution:
        """Start its flow with the request as input. Raises what starting an execution raises."""
        if webhook.script:
            new = NewExecution(script=webhook.script, flow_name=webhook.flow_name, input_value=packed(request))
        else:
            new = NewExecution(pushed=webhook.flow_name, input_value=packed(request))
        return await self._executions.create(new)

    async def ended(self, execution_id: str) -> Execution:
        """Once it has ended. Raises NotFound when it is deleted, Unavailable when the controller ends."""
        last: Execution | None = None
        async for present in self._watching.execution(execution_id, keep_open=False):
            last = present
        if self._services.changes.closed and last is not None and not last.status.ended:
            raise Unavailable(f"the controller is ending; execution {execution_id} goes on")
        if last is None or not last.status.ended:
            raise NotFound(f"execution {execution_id} was deleted before it ended")
        return last


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no webhook {name!r}; see `snapctl webhook ls`")
