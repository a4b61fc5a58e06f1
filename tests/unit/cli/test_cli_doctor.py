"""doctor, and each check on hosts that lack something."""

from __future__ import annotations

from pathlib import Path

import docker
import grpc
import pytest
from flowsnap.v1 import control_pb2

from controller import host_checks as checks
from controller.host_checks import Level

ALL_CAPABILITIES = "000001ffffffffff"


def test_an_old_kernel_fails_and_an_odd_machine_warns_when_they_are_checked():
    assert checks.kernel("4.19.0-27-amd64", "x86_64").level is Level.fail
    assert checks.kernel("5.10.0-rc1", "x86_64").level is Level.ok
    assert checks.kernel("6.18.44", "riscv64").level is Level.warn
    assert checks.kernel().level is Level.ok


def test_missing_controllers_fail_when_cgroups_are_checked(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    assert checks.cgroup(tmp_path).level is Level.ok
    (tmp_path / "cgroup.controllers").write_text("cpu pids\n")
    failed = checks.cgroup(tmp_path)
    assert failed.level is Level.fail
    assert "cgroup_enable=memory" in failed.remedy


def test_version_one_is_read_when_there_is_no_unified_hierarchy(tmp_path):
    (tmp_path / "cgroups").write_text("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t2\t9\t1\npids\t3\t9\t1\n")
    assert checks.cgroup(tmp_path, tmp_path).level is Level.ok
    (tmp_path / "cgroups").write_text("memory\t0\t9\t0\npids\t3\t9\t1\n")
    assert checks.cgroup(tmp_path, tmp_path).level is Level.fail
    assert checks.cgroup(tmp_path / "none", tmp_path / "none").level is Level.warn


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, Level.fail),
        ({"user/max_user_namespaces": 0}, Level.fail),
        ({"user/max_user_namespaces": 100}, Level.ok),
        ({"user/max_user_namespaces": 100, "kernel/apparmor_restrict_unprivileged_userns": 1}, Level.warn),
        ({"user/max_user_namespaces": 100, "kernel/apparmor_restrict_unprivileged_userns": 0}, Level.ok),
        ({"user/max_user_namespaces": 100, "kernel/unprivileged_userns_clone": 0}, Level.warn),
    ],
)
def test_restricted_user_namespaces_are_told_when_they_are_checked(tmp_path, settings, level):
    for name, value in settings.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    check = checks.user_namespaces(tmp_path)
    assert check.level is level
    assert bool(check.remedy) == (level is not Level.ok)


def test_the_missing_capability_is_named_when_the_bounding_set_lacks_it(tmp_path):
    status = tmp_path / "status"
    without_resource = int(ALL_CAPABILITIES, 16) & ~(1 << 24)
    status.write_text(f"Name:\tdockerd\nCapBnd:\t{without_resource:016x}\n")
    assert checks.capabilities(status).level is Level.ok
    status.write_text(f"Name:\tdockerd\nCapBnd:\t{without_resource & ~(1 << 21):016x}\n")
    failed = checks.capabilities(status)
    assert failed.level is Level.fail
    assert "SYS_ADMIN" in failed.detail
    assert "SYS_PTRACE" not in failed.detail


def test_little_space_warns_and_none_fails_when_the_disk_is_checked(tmp_path):
    assert checks.disk_space(tmp_path / "not" / "yet", 10 * 2**30).level is Level.ok
    assert checks.disk_space(tmp_path, 2**30).level is Level.warn
    assert checks.disk_space(tmp_path, 2**20).level is Level.fail
    assert checks.disk_space(tmp_path).detail


def test_a_file_in_the_way_fails_when_the_data_dir_is_checked(tmp_path):
    assert checks.data_dir_writable(tmp_path).level is Level.ok
    assert checks.data_dir_writable(tmp_path / "a" / "b").level is Level.ok
    (tmp_path / "file").touch()
    assert checks.data_dir_writable(tmp_path / "file" / "data").level is Level.fail


def test_the_remedy_is_named_when_no_engine_answers():
    client = docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.41")
    check = checks.docker_engine(client)
    image = checks.execution_image(client, "flowsnap/execution")
    client.close()
    assert check.level is Level.fail
    assert "systemctl start docker" in check.remedy
    assert image.level is Level.fail


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


def by_name(result) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in result.json["checks"]}


@pytest.mark.usefixtures("no_engine")
def test_the_trial_waits_for_a_controller_when_none_runs(snapctl):
    result = snapctl("doctor", "-o", "json")
    assert result.exit_code == 1
    found = by_name(result)
    assert found["controller"]["level"] == "fail"
    assert found["trial"]["level"] == "warn"
    assert "snapctl up --detach" in found["trial"]["remedy"]
    assert found["Docker engine"]["level"] == "fail"
    assert result.json["ok"] is False


@pytest.mark.usefixtures("no_engine")
def test_the_figures_are_shown_when_the_trial_succeeds(controller, snapctl):
    controller.answer(
        "RunTrial",
        control_pb2.RunTrialResponse(ok=True, criu_version="4.2.1", dump_us=9300, restore_us=15100),
    )
    result = snapctl("doctor", "--image", "mine")
    assert "ok    trial: CRIU 4.2.1: dump 9.3 ms, restore 15.1 ms" in result.out
    assert controller.requests_of("RunTrial")[0].container_image == "mine"
    assert "      -> " in result.out


@pytest.mark.usefixtures("no_engine")
def test_crius_words_are_shown_when_the_trial_fails(controller, snapctl):
    controller.answer("RunTrial", control_pb2.RunTrialResponse(ok=False, detail="Error (criu/mem.c:1): no"))
    assert "criu/mem.c" in by_name(snapctl("doctor", "-o", "json"))["trial"]["detail"]
    controller.refuse("RunTrial", grpc.StatusCode.UNAVAILABLE, "Docker is away")
    assert by_name(snapctl("doctor", "-o", "json"))["trial"]["detail"] == "Docker is away"


def test_the_capabilities_of_this_host_are_read_when_no_file_is_given():
    assert checks.capabilities().detail
    assert Path("/proc/self/status").exists()
