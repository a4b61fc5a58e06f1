"""A real controller on a data folder of its own, and a plain gRPC client of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc, platform_pb2, platform_pb2_grpc, types_pb2

ENDED = (
    types_pb2.EXECUTION_STATUS_ENDED_SUCCESS,
    types_pb2.EXECUTION_STATUS_ENDED_ERROR,
    types_pb2.EXECUTION_STATUS_ENDED_CANCELLED,
)
SUCCESS, ERROR, CANCELLED = ENDED

IMAGE = os.environ.get("FLOWSNAP_TEST_IMAGE", "flowsnap/execution")
# Derived from it by `scripts/image --testing`: what only tests need is on top.
TESTING_IMAGE = f"{IMAGE}-testing"

_START_S = 20
_WAIT_S = 60
_MAX_MESSAGE_BYTES = 80 << 20


def status_name(status: int) -> str:
    return types_pb2.ExecutionStatus.Name(status).removeprefix("EXECUTION_STATUS_")


class Platform:
    """What tests drive. All calls block and raise grpc.RpcError as any client would see it."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self._options = (*options, "--image", IMAGE)
        if "--http-listen" not in options:
            # Several run at the same time.
            self._options += ("--http-listen", "off")
        self.process: subprocess.Popen[bytes] | None = None
        # Those that the engine had before; asked for with the first start.
        self.volumes_before: set[str] | None = None

    # --- the controller's life

    def start(self, faults: str = "") -> None:
        """faults: a plan of what it and its agents are to die of, as the module faults reads it."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self.volumes_before is None:
            # Some tests are about an engine that is not there.
            with contextlib.suppress(subprocess.CalledProcessError):
                self.volumes_before = volumes()
        with (self.data_dir / "controller.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "controller", "--data-dir", str(self.data_dir), *self._options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "FLOWSNAP_FAULTS": faults},
            )
        self.channel = grpc.insecure_channel(
            f"unix:{self.data_dir}/run/control.sock",
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ],
        )
        self.executions = control_pb2_grpc.ExecutionServiceStub(self.channel)
        self.savepoint_service = control_pb2_grpc.SavepointServiceStub(self.channel)
        self.flows = control_pb2_grpc.FlowServiceStub(self.channel)
        self.connections = control_pb2_grpc.ConnectionServiceStub(self.channel)
        self.system = control_pb2_grpc.SystemServiceStub(self.channel)
        self.settings = platform_pb2_grpc.SettingServiceStub(self.channel)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.system.GetSystemInfo(pb.GetSystemInfoRequest(), timeout=2)
            except grpc.RpcError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the controller did not start:\n{self.controller_log()[-4000:]}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End the controller and everything that it runs."""
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                self.system.Shutdown(pb.ShutdownRequest(stop_executions=True), timeout=30)
                self.process.wait(30)
            except (grpc.RpcError, subprocess.TimeoutExpired):
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.channel.close()
        self.process = None

    def kill_controller(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.channel.close()

    def controller_log(self) -> str:
        return (self.data_dir / "controller.log").read_text(errors="replace")

    # --- executions

    def run(self, script: str, value: object = None, *, file_name: str = "flow.py", **fields: object) -> str:
        """Start a flow; answers the execution's id."""
        request = pb.CreateExecutionRequest(
            script=textwrap.dedent(script), flow_name=file_name, input_value_json=json.dumps(value).encode(), **fields
        )
        return self.executions.CreateExecution(request, timeout=30).execution.id

    def push(self, name: str, script: str, **files: str) -> types_pb2.Flow:
        """Make it the newest version of a flow; files are modules beside it."""
        modules = [
            types_pb2.FlowFile(path=f"{module}.py", content=textwrap.dedent(text).encode())
            for module, text in files.items()
        ]
        request = pb.PushFlowRequest(name=name, script=textwrap.dedent(script), files=modules)
        return self.flows.PushFlow(request, timeout=10).flow

    def get(self, execution: str) -> types_pb2.Execution:
        return self.executions.GetExecution(pb.GetExecutionRequest(execution=execution), timeout=10).execution

    def list(self, *, with_tasks: bool = False) -> Sequence[types_pb2.Execution]:
        request = pb.ListExecutionsRequest(page_size=1000, with_tasks=with_tasks)
        return self.executions.ListExecutions(request, timeout=30).executions

    def output(self, execution: str) -> object:
        return json.loads(self.get(execution).output_value_json)

    def wait_ended(self, execution: str) -> types_pb2.Execution:
        self.wait_until(lambda: self.get(execution).status in ENDED, execution)
        return self.get(execution)

    def wait_status(self, execution: str, status: int) -> types_pb2.Execution:
        self.wait_until(lambda: self.get(execution).status == status, execution)
        return self.get(execution)

    def wait_until(self, condition: Callable[[], object], execution: str = "", *, limit_s: float = _WAIT_S) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                seen = f"{self.get(execution)}\n{self.log(execution)}" if execution else ""
                raise AssertionError(f"did not come about in {limit_s} s\n{seen}\n{self.controller_log()[-4000:]}")
            time.sleep(0.02)

    def log(self, execution: str, *streams: str) -> list[str]:
        lines: list[str] = []
        for part in self.executions.ReadLog(pb.ReadLogRequest(execution=execution), timeout=30):
            lines += [line.text for line in part.lines if not streams or line.stream in streams]
        return lines

    def results(self, execution: str) -> list[str]:
        """What the flow printed behind RESULT."""
        return [line.removeprefix("RESULT ") for line in self.log(execution, "stdout") if line.startswith("RESULT ")]

    def wait_results(self, execution: str, count: int) -> list[str]:
        def enough() -> bool:
            if self.get(execution).status == ERROR:
                raise AssertionError(f"{self.get(execution).message}\n{self.log(execution)}")
            return len(self.results(execution)) >= count

        self.wait_until(enough, execution)
        return self.results(execution)

    def load_three_times(self, execution: str, name: str = "here") -> list[str]:
        """The results of a first pass and of three loads, each from the savepoint of that name; cancels it then."""
        self.wait_results(execution, 1)
        for cycle in range(3):
            self.load(execution, name=name)
            self.wait_results(execution, cycle + 2)
        results = self.results(execution)
        self.cancel(execution)
        return results

    # --- savepoints

    def savepoints(self, execution: str) -> list[types_pb2.Savepoint]:
        request = pb.ListSavepointsRequest(execution=execution)
        return list(self.savepoint_service.ListSavepoints(request, timeout=10).savepoints)

    def wait_savepoint(self, execution: str, call: str, function: str = "") -> types_pb2.Savepoint:
        """The first of a call, and of a function where one is given: a commit may follow the call's reply."""

        def found() -> list[types_pb2.Savepoint]:
            return [one for one in self.savepoints(execution) if one.call == call and function in {"", one.function}]

        self.wait_until(found, execution)
        return found()[0]

    def load(self, execution: str, *, name: str = "", id: str = "", dry_run: bool = False) -> pb.LoadSavepointResponse:  # noqa: A002
        selector = pb.SavepointSelector(name=name) if name else pb.SavepointSelector(id=id)
        request = pb.LoadSavepointRequest(execution=execution, savepoint=selector, dry_run=dry_run)
        return self.savepoint_service.LoadSavepoint(request, timeout=60)

    def undo(self, execution: str) -> pb.UndoLoadResponse:
        return self.savepoint_service.UndoLoad(pb.UndoLoadRequest(execution=execution), timeout=60)

    def fork(
        self,
        execution: str,
        *,
        name: str = "",
        id: str = "",  # noqa: A002
        count: int = 1,
        value: object = None,
    ) -> list[str]:
        """Ids of the forks; from the savepoint of that name or id, else from where the execution stands."""
        selector = pb.SavepointSelector(name=name) if name else pb.SavepointSelector(id=id)
        request = pb.ForkExecutionRequest(
            execution=execution,
            savepoint=selector if name or id else None,
            count=count,
            input_json=b"" if value is None else json.dumps(value).encode(),
        )
        return [fork.id for fork in self.executions.ForkExecution(request, timeout=60).executions]

    def create_savepoint(self, execution: str, name: str = "") -> types_pb2.Savepoint:
        request = pb.CreateSavepointRequest(execution=execution, name=name)
        return self.savepoint_service.CreateSavepoint(request, timeout=60).savepoint

    def cancel(self, execution: str) -> None:
        self.executions.CancelExecution(pb.CancelExecutionRequest(execution=execution, reason="test"), timeout=60)

    # --- faults

    def container(self, execution: str) -> str:
        (name,) = (name for name in containers(self.data_dir) if execution in name)
        return name

    def agent_pid(self, execution: str) -> int:
        """As the host sees it."""
        command = ["docker", "inspect", "--format", "{{.State.Pid}}", self.container(execution)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def kill_agent(self, execution: str) -> None:
        os.kill(self.agent_pid(execution), signal.SIGKILL)

    def kill_flow(self, execution: str) -> None:
        """The first process of its tree: the child of the agent that has a pid namespace of its own."""
        agent = self.agent_pid(execution)
        for pid in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
            if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink(f"/proc/{agent}/ns/pid"):
                os.kill(int(pid), signal.SIGKILL)
                return
        raise AssertionError("the flow has no process")

    def pause(self, execution: str) -> None:
        self.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution), timeout=60)

    def resume(self, execution: str) -> None:
        self.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution), timeout=60)

    def save_setting(self, name: str, value: object) -> None:
        request = platform_pb2.SaveSettingRequest(name=name, value_json=json.dumps(value).encode())
        self.settings.SaveSetting(request, timeout=10)

    def connect(self, name: str, connector_type: str, **value: object) -> None:
        connection = types_pb2.Connection(
            name=name, connector_type=connector_type, value_json=json.dumps(value).encode()
        )
        self.connections.SaveConnection(pb.SaveConnectionRequest(connection=connection), timeout=10)


def containers(data_dir: Path) -> list[str]:
    """Names of the containers that belong to a data folder, running or not."""
    answer = subprocess.run(
        ["docker", "ps", "-a", "--filter", f"label=flowsnap.data-dir={data_dir}", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


def volumes() -> set[str]:
    """Of Docker's engine, whoever made them."""
    asked = ["docker", "volume", "ls", "--quiet"]
    return set(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())


@contextlib.contextmanager
def running_platform(data_dir: Path, *options: str) -> Iterator[Platform]:
    """For fixtures."""
    platform = Platform(data_dir, *options)
    platform.start()
    try:
        yield platform
    finally:
        platform.stop()
