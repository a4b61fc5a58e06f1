"""The trial: a small process through a real dump and restore, as any execution goes through them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from controller.errors import FlowsnapError
from controller.executions import Executions, NewExecution
from controller.model import Execution, Status
from controller.savepoints import Savepoints
from controller.services import Services
from controller.thinning import DUMP_CALLS
from controller.watching import Watching

TRIAL_LIMIT_S = 60.0

_SCRIPT = """\
def handler(system, this):
    numbers = iter(range(10))
    with open('/tmp/trial', 'w+') as file:
        file.write(str(next(numbers)))
        file.flush()
        this.create_dump('trial')
        # Without a restore of memory, file and file offset these two would not agree.
        file.write(str(next(numbers)))
        file.flush()
        with open('/tmp/trial') as written:
            content = written.read()
        if content != '01':
            return this.error('the file came back as ' + repr(content))
        if not this.restored:
            this.load_dump('trial', by='name', max_times=1)
    return this.success('restored')
"""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """detail: what went wrong, in the lower layer's words. Times in microseconds."""

    ok: bool
    detail: str = ""
    criu_version: str = ""
    dump_us: int = 0
    restore_us: int = 0


class Trial:
    """Runs the trial flow as an execution of its own and deletes it."""

    def __init__(self, services: Services, executions: Executions, savepoints: Savepoints, watching: Watching) -> None:
        self._services = services
        self._executions = executions
        self._savepoints = savepoints
        self._watching = watching

    async def run(self, container_image: str) -> TrialResult:
        """Never raises a FlowsnapError: what fails is the result."""
        new = NewExecution(_SCRIPT, "trial.py", name="trial", container_image=container_image)
        try:
            execution = await self._executions.create(new)
        except FlowsnapError as error:
            return TrialResult(False, str(error))
        live = self._services.live.get(execution.id)
        try:
            end = await self._end(execution)
            if end is None:
                return TrialResult(False, f"the trial did not end within {TRIAL_LIMIT_S:g} s; look at the agent's log")
            dumps = [dump for dump in await self._savepoints.list(end.id) if dump.call in DUMP_CALLS]
            return TrialResult(
                end.status is Status.ENDED_SUCCESS and end.load_count == 1,
                "" if end.status is Status.ENDED_SUCCESS else end.message,
                "" if live is None else live.criu_version,
                dumps[0].dump_us if dumps else 0,
                0 if live is None else live.restore_us,
            )
        except FlowsnapError as error:
            return TrialResult(False, str(error))
        finally:
            await self._executions.delete(execution.id, force=True)

    async def _end(self, execution: Execution) -> Execution | None:
        """None: it did not end in time."""
        try:
            async with asyncio.timeout(TRIAL_LIMIT_S):
                async for present in self._watching.execution(execution.id, keep_open=False):
                    execution = present
        except TimeoutError:
            return None
        return execution
