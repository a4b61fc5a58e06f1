"""The Docker launcher on a real engine, with small commands in the place of the image's agent."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from docker import APIClient

from controller.config import DEFAULT_IMAGE, MIB, Config
from controller.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from controller.launcher.docker import DockerLauncher
from controller.launcher.docker_container import container_name, reader_label
from controller.launcher.docker_engine import DockerEngine
from controller.ports import ContainerEnd, ContainerSpec, HostState, Launcher

# Any image with a shell and python3 will do.
IMAGE = os.environ.get("FLOWSNAP_TEST_IMAGE", DEFAULT_IMAGE)
SLEEP = ("sleep", "300")
# A child is killed for memory, the first process lives on.
CHILD_OUT_OF_MEMORY = ("sh", "-c", "python3 -c 'x = bytearray(512 << 20)'; echo child ended; sleep 300")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(data_dir=tmp_path, network="none")
    config.agent_socket.parent.mkdir(parents=True)
    return config


@pytest.fixture
def spec(config: Config) -> ContainerSpec:
    execution_id = uuid.uuid4().hex
    agent_dir = config.agents / execution_id
    agent_dir.mkdir(parents=True)
    return ContainerSpec(execution_id, IMAGE, agent_dir, 64 * MIB, 64)


@asynccontextmanager
async def silent_engine(socket: Path) -> AsyncIterator[None]:
    """It takes connections, and says nothing."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(listen, socket)
    try:
        yield
    finally:
        server.close()
        os.unlink(socket)


@asynccontextmanager
async def launching(config: Config, *entrypoint: str) -> AsyncIterator[DockerLauncher]:
    launcher = DockerLauncher(config, entrypoint=entrypoint)
    try:
        yield launcher
    finally:
        for execution_id in await launcher.list_executions():
            await launcher.remove(execution_id)
        await launcher.close()


@pytest.fixture
def no_engine(config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine's socket is looked for, and isn't."""
    socket = config.data_dir / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    return socket


def shell(script: str) -> Sequence[str]:
    return ("sh", "-c", script)


async def test_exit_status_is_told_when_a_container_ends_by_itself(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, *shell("echo last words >&2; exit 7")) as docker:
        launcher: Launcher = docker
        await launcher.start(spec)
        assert await launcher.wait_end(spec.execution_id) == ContainerEnd(spec.execution_id, 7, False)
        assert await docker.tail(spec.execution_id) == "last words\n"
        assert await launcher.wait_end(spec.execution_id) == ContainerEnd(spec.execution_id, 7, False)


async def test_all_who_wait_are_told_when_a_container_is_removed(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, *SLEEP) as launcher:
        await launcher.start(spec)
        waits = [asyncio.create_task(launcher.wait_end(spec.execution_id)) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert not any(wait.done() for wait in waits)
        await launcher.remove(spec.execution_id)
        assert {(await wait).execution_id for wait in waits} == {spec.execution_id}
        assert await launcher.list_executions() == []


async def test_nothing_happens_when_there_is_no_container(config: Config) -> None:
    async with launching(config) as launcher:
        await launcher.remove("none")
        assert await launcher.wait_end("none") == ContainerEnd("none", -1, False)
        assert await launcher.tail("none") == ""
        assert not await launcher.oom_killed("none")


async def test_out_of_memory_is_told_when_a_child_is_killed(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, *CHILD_OUT_OF_MEMORY) as launcher:
        await launcher.start(spec)
        assert not await launcher.oom_killed(spec.execution_id)
        while not await launcher.oom_killed(spec.execution_id):  # noqa: ASYNC110 (the test asks, as the core does)
            await asyncio.sleep(0.05)
        assert await launcher.list_executions() == [spec.execution_id]


async def test_out_of_memory_is_told_when_the_first_process_is_killed(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, "python3", "-c", "x = bytearray(512 << 20)") as launcher:
        await launcher.start(spec)
        assert await launcher.wait_end(spec.execution_id) == ContainerEnd(spec.execution_id, 137, True)


async def test_privileges_and_mounts_are_what_the_agent_needs_when_started(config: Config, spec: ContainerSpec) -> None:
    (spec.agent_dir / "agent.json").write_text("{}")
    script = """
        set -e
        cat /flowsnap/agent.json; echo
        touch /flowsnap/writable
        touch /flowsnap-controller/no 2>/dev/null || echo controller folder is read-only
        touch /run/ok
        awk '/^CapEff|^Seccomp:/ {print $2}' /proc/self/status
        awk '$2 ~ "^/proc/" {print "masked", $2}' /proc/mounts
        hostname 2>/dev/null || cat /proc/sys/kernel/hostname
    """
    async with launching(config, *shell(script)) as launcher:
        await launcher.start(spec)
        end = await launcher.wait_end(spec.execution_id)
        lines = (await launcher.tail(spec.execution_id)).splitlines()
    assert end.exit_status == 0, lines
    agent, read_only, capabilities, seccomp, hostname = lines
    assert (agent, read_only) == ("{}", "controller folder is read-only")
    numbers = {bit for bit in range(64) if int(capabilities, 16) >> bit & 1}
    # linux/capability.h
    assert numbers == {0, 1, 3, 4, 5, 6, 7, 8, 12, 18, 19, 21, 25, 27}
    assert (seccomp, hostname) == ("0", spec.execution_id[:12])
    assert (spec.agent_dir / "writable").exists()


async def test_forking_ends_at_the_limit_when_a_container_uses_it_up(config: Config, spec: ContainerSpec) -> None:
    script = "import os\ntry:\n  while os.fork(): pass\n  os.read(os.pipe()[0], 1)\nexcept BlockingIOError: os._exit(9)"
    async with launching(config, "python3", "-c", script) as launcher:
        await launcher.start(replace(spec, pids_limit=8))
        assert (await launcher.wait_end(spec.execution_id)).exit_status == 9


async def test_building_is_suggested_when_the_image_is_missing(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, *SLEEP) as launcher:
        with pytest.raises(NotFound, match=r"flowsnap/no-such.*scripts/image"):
            await launcher.resolve_image("flowsnap/no-such")
        with pytest.raises(NotFound, match=r"flowsnap/no-such.*scripts/image"):
            await launcher.start(replace(spec, image="flowsnap/no-such"))
        assert (await launcher.resolve_image(IMAGE)).startswith("sha256:")


async def test_second_start_is_refused_when_the_container_exists(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, *SLEEP) as launcher:
        await launcher.start(spec)
        with pytest.raises(AlreadyExists, match="already in use"):
            await launcher.start(spec)
        assert await launcher.list_executions() == [spec.execution_id]


async def test_nothing_is_left_when_a_start_fails(config: Config, spec: ContainerSpec) -> None:
    async with launching(config, "/no/such/command") as launcher:
        with pytest.raises(InvalidArgument, match="/no/such/command"):
            await launcher.start(spec)
        assert await launcher.list_executions() == []
    spec.agent_dir.rmdir()
    async with launching(config, *SLEEP) as launcher:
        with pytest.raises(InvalidArgument, match=str(spec.agent_dir)):
            await launcher.start(spec)
        assert await launcher.list_executions() == []


async def test_containers_of_another_data_folder_are_not_listed(
    config: Config, spec: ContainerSpec, tmp_path: Path
) -> None:
    async with launching(config, *SLEEP) as launcher, launching(Config(data_dir=tmp_path / "other")) as other:
        await launcher.start(spec)
        assert await other.list_executions() == []
        assert await launcher.list_executions() == [spec.execution_id]


async def test_starting_the_engine_is_suggested_when_it_does_not_answer(
    config: Config, spec: ContainerSpec, no_engine: Path
) -> None:
    launcher = DockerLauncher(config)
    with pytest.raises(Unavailable, match=r"docker\.sock: No such file.*systemctl start docker"):
        await launcher.start(spec)
    await launcher.close()


async def test_wait_goes_on_when_the_engine_was_away(config: Config, spec: ContainerSpec, no_engine: Path) -> None:
    async with launching(config, *SLEEP) as launcher:
        wait = asyncio.create_task(launcher.wait_end(spec.execution_id))
        await asyncio.sleep(0.2)
        assert not wait.done()
        os.symlink("/var/run/docker.sock", no_engine)
        assert await wait == ContainerEnd(spec.execution_id, -1, False, engine_away=True)


async def test_end_is_found_when_the_look_at_it_failed_once(
    config: Config, spec: ContainerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further event tells of it."""
    looked, look = 0, DockerEngine.look

    def fails_once(engine: DockerEngine, execution_id: str) -> tuple[ContainerEnd, bool]:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise Unavailable("the engine does not answer")
        return look(engine, execution_id)

    async with launching(config, *shell("exit 7")) as launcher:
        await launcher.start(spec)
        while (await launcher.wait_end(spec.execution_id)).exit_status != 7:
            pass
        monkeypatch.setattr(DockerEngine, "look", fails_once)
        async with asyncio.timeout(30):
            assert (await launcher.wait_end(spec.execution_id)).exit_status == 7
    assert looked == 2


async def test_container_that_is_being_removed_is_gone_when_its_removal_returns(
    config: Config, spec: ContainerSpec
) -> None:
    async with launching(config, *SLEEP) as launcher:
        await launcher.start(spec)
        removals = [asyncio.create_task(launcher.remove(spec.execution_id)) for _ in range(4)]
        await asyncio.wait(removals, return_when=asyncio.FIRST_COMPLETED)
        assert await launcher.list_executions() == []
        await asyncio.gather(*removals)


async def test_container_is_named_after_its_execution_when_started(config: Config, spec: ContainerSpec) -> None:
    client = APIClient(version="auto")
    async with launching(config, *SLEEP) as launcher:
        await launcher.start(spec)
        seen = client.inspect_container(container_name(spec.execution_id))
    client.close()
    assert seen["Name"] == f"/flowsnap-{spec.execution_id}"
    assert seen["HostConfig"]["MemorySwap"] == seen["HostConfig"]["Memory"] == 64 * MIB
    assert not seen["HostConfig"]["AutoRemove"]


async def test_file_comes_back_when_it_is_read_from_an_image(config: Config) -> None:
    async with launching(config) as launcher:
        content = await launcher.read_file(IMAGE, "/usr/share/flowsnap/contents.txt", MIB)
        assert b"deb criu=" in content
        with pytest.raises(InvalidArgument, match="bytes are too many"):
            await launcher.read_file(IMAGE, "/usr/share/flowsnap/contents.txt", 10)
        for path in ("/nothing", "/usr"):
            with pytest.raises(NotFound, match=path):
                await launcher.read_file(IMAGE, path, MIB)
        with pytest.raises(NotFound, match="flowsnap/none"):
            await launcher.read_file("flowsnap/none", "/etc/passwd", MIB)
        assert not readers(config)


async def test_leftover_is_removed_when_a_file_is_read(config: Config) -> None:
    """Of a controller that was killed while it read."""
    name, _, value = reader_label(config).partition("=")
    APIClient().create_container(IMAGE, ["true"], labels={name: value})
    assert readers(config)
    async with launching(config) as launcher:
        await launcher.read_file(IMAGE, "/etc/passwd", MIB)
        assert not await launcher.list_executions()
    assert not readers(config)


def readers(config: Config) -> list[dict[str, str]]:
    return list(APIClient().containers(all=True, filters={"label": reader_label(config)}))


async def test_host_is_told_with_what_runs_on_it(config: Config, spec: ContainerSpec) -> None:
    client = APIClient(version="auto")
    told = client.info()
    client.close()
    async with launching(config, *SLEEP) as docker:
        launcher: Launcher = docker
        [empty] = await launcher.hosts()
        await launcher.start(spec)
        [host] = await launcher.hosts()
    assert (host.name, host.state, host.problem) == (told["Name"], HostState.READY, "")
    assert (host.kernel, host.architecture, host.cpus) == (os.uname().release, os.uname().machine, told["NCPU"])
    assert (host.memory_bytes, host.engine_version) == (told["MemTotal"], told["ServerVersion"])
    assert "://" in host.address
    # Of other tests, too, there may be containers.
    assert (empty.executions, host.executions) == (0, 1)
    assert host.containers >= 1


async def test_host_is_away_when_its_engine_does_not_answer(config: Config, no_engine: Path) -> None:
    async with silent_engine(no_engine):
        launcher = DockerLauncher(config)
        [hanging] = await launcher.hosts()
    [gone] = await launcher.hosts()
    for host in (hanging, gone):
        assert (host.name, host.state) == (os.uname().nodename, HostState.AWAY)
        assert host.address == f"unix://{no_engine}"
        assert "the Docker engine does not answer" in host.problem
    await launcher.close()
