"""What agents say by themselves: they attach, hand over log lines, and report that the flow's process ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import faults
from controller.endings import Endings
from controller.flow_calls.fields import fields_of
from controller.flows import file_name_of
from controller.live import Live
from controller.losses import LossHandler, process_loss
from controller.model import LogLine, Status, UsageSample
from controller.ports import AgentLink, Database
from controller.services import Services
from controller.values import packed

_LOG_TEXT_LIMIT = 64 * 1024  # characters of one line; a longer one is cut, and says so
_MESSAGE_LIMIT = 64 * 1024
_USAGE_SAMPLES = 10  # of one report


@dataclass(frozen=True, slots=True)
class Exit:
    """How a flow's first process ended. status: exit status, or -signal."""

    branch: int
    returned: bool
    status: int
    error: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """What an agent says of itself."""

    criu_version: str
    running: bool
    branch: int
    fresh: bool  # nothing ran in its container yet


class Agents:
    """The controller's side of the agents' own news."""

    def __init__(self, services: Services, endings: Endings, when_lost: LossHandler) -> None:
        self._services = services
        self._endings = endings
        self._when_lost = when_lost

    async def attached(self, execution_id: str, link: AgentLink, attachment: Attachment) -> None:
        """An agent opened its stream: at first it gets its script, later it just goes on.

        One that has no execution any more is told to end.
        """
        live = self._services.live.get(execution_id)
        if live is None or live.ended.is_set() or not live.housed:
            await link.stop()
            return
        live.criu_version = attachment.criu_version
        live.detached.clear()
        live.link = link
        if attachment.fresh and not live.restoring:
            await self._start_flow(live, link)
        live.attached_running = attachment.running
        live.attached_fresh = attachment.fresh
        live.attached_branch = attachment.branch
        live.attached.set()

    def detached(self, execution_id: str, link: AgentLink) -> bool:
        """Its stream ended: the agent is gone, or attaches again soon. True: its execution is over, too."""
        live = self._services.live.get(execution_id)
        if live is None or live.link is not link:
            return True
        live.attached.clear()
        live.detached.set()
        self._services.changes.notify(execution_id)
        return live.ended.is_set()

    async def exited(self, execution_id: str, how: Exit) -> None:
        """The flow's first process ended by itself; a report of a branch that was left says nothing.

        One that said nothing of its end was lost; an exception is an end.
        """
        services = self._services
        live = services.live.get(execution_id)
        if live is None or live.ended.is_set() or not live.housed or how.branch != live.branch:
            return
        container = live.container
        if how.returned:
            await self._end(live, Status.ENDED_SUCCESS, "", how.branch)
        elif how.error:
            await self._end(live, Status.ENDED_ERROR, how.error[:_MESSAGE_LIMIT], how.branch)
        else:
            loss = await process_loss(services.launcher, await services.execution(execution_id), how.status)
            self._when_lost(live, container, how.branch, loss)

    async def _end(self, live: Live, status: Status, message: str, branch: int) -> None:
        """Goes on when the agent does not wait for it: it may go with its container, which ends here."""
        work = self._endings.end(live, status, message, branch=branch)
        await asyncio.shield(self._services.background(work, f"end of {live.execution_id}"))

    async def append_log(self, execution_id: str, lines: Sequence[LogLine]) -> None:
        kept = [line if len(line.text) <= _LOG_TEXT_LIMIT else _cut(line) for line in lines]
        await self._services.db(Database.append_log, execution_id, kept)
        self._services.changes.notify(execution_id)

    async def report_usage(self, execution_id: str, samples: Sequence[UsageSample]) -> None:
        """What its container used; of too many the newest count."""
        await self._services.db(Database.add_usage, execution_id, samples[-_USAGE_SAMPLES:])
        self._services.changes.notify_of_usage(execution_id)

    async def _start_flow(self, live: Live, link: AgentLink) -> None:
        services, execution_id = self._services, live.execution_id
        execution = await services.execution(execution_id)
        if execution.head_savepoint_id is not None:
            # An earlier controller died before it restored a savepoint there.
            return
        flow = await services.db(Database.flow, execution.flow_version)
        if flow is None:
            await self._endings.end(live, Status.ENDED_ERROR, f"its script, version {execution.flow_version}, is gone")
            return
        await services.db(Database.set_status, execution_id, (Status.NEW,), Status.RUNNING)
        faults.reach("controller.script.before")
        file_name = flow.name if flow.files else file_name_of(execution.flow_name)
        await link.start(flow, file_name, packed(fields_of(await services.execution(execution_id))))
        services.changes.notify(execution_id)


def _cut(line: LogLine) -> LogLine:
    text = f"{line.text[:_LOG_TEXT_LIMIT]}... ({len(line.text)} characters, cut)"
    return LogLine(line.time, line.stream, text)
