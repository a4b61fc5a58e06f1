"""The execution image: what is in it, that it serves a read-only root, and that both ways of building it agree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from platform_under_test import IMAGE, TESTING_IMAGE

ROOT = Path(__file__).parents[2]
AGENT_PYTHON = "/opt/flowsnap/venv/bin/python"
MOUNT_POINTS = ["/work", "/flow", "/flowsnap", "/flowsnap-controller"]


def in_container(*command: str, image: str = IMAGE, user: str = "0:0") -> subprocess.CompletedProcess[str]:
    """Run a command as executions do: root read-only, no network."""
    program, *arguments = command
    options = ["--rm", "--read-only", "--workdir=/work", "--network=none", "--user", user, "--entrypoint", program]
    return subprocess.run(
        ["docker", "run", *options, image, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def output_of(*command: str, image: str = IMAGE, user: str = "0:0") -> str:
    done = in_container(*command, image=image, user=user)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_criu_copes_with_inet_sockets_of_new_kernels_in_the_image() -> None:
    version = output_of("criu", "--version").splitlines()[0].removeprefix("Version: ")
    assert tuple(int(part) for part in version.split(".")[:2]) >= (4, 2)


def test_agent_finds_all_it_imports_when_isolated() -> None:
    output_of(AGENT_PYTHON, "-I", "-c", "import agent.session, grpc, pycriu, pycriu.images, flowsnap.v1.agent_pb2_grpc")


def test_image_starts_the_agent_as_its_only_program() -> None:
    inspected = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{json .Config.Entrypoint}}", IMAGE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert inspected.stdout.strip() == f'["{AGENT_PYTHON}","-I","-m","agent"]'


def test_flow_finds_its_libraries_when_it_is_not_root() -> None:
    modules = "flow_api, requests, yaml, dateutil, pytz"
    output_of("python3", "-c", f"import {modules}", user="1000:1000")


@pytest.mark.parametrize("module", ["agent", "grpc", "flowsnap", "controller", "store"])
def test_flow_does_not_find_what_belongs_to_the_agent(module: str) -> None:
    done = in_container("python3", "-c", f"import {module}", user="1000:1000")
    assert "ModuleNotFoundError" in done.stderr


def test_mount_points_exist_and_are_empty_when_nothing_is_mounted() -> None:
    assert output_of("find", *MOUNT_POINTS, "-mindepth", "1") == ""


def test_user_flow_owns_its_working_directory() -> None:
    assert output_of("stat", "-c", "%u:%g %U", "/work") == "1000:1000 flow"


def test_byte_code_is_there_for_every_module_of_the_agent_because_the_root_is_read_only() -> None:
    script = """
import agent, flow_api, importlib.util, json, pathlib
sources = [path for package in (agent, flow_api) for path in pathlib.Path(package.__file__).parent.rglob("*.py")]
print(json.dumps([str(s) for s in sources if not pathlib.Path(importlib.util.cache_from_source(s)).exists()]))
"""
    path = "import sys; sys.path.append('/usr/local/lib/python3.13/dist-packages')\n"
    assert output_of(AGENT_PYTHON, "-I", "-c", path + script) == "[]"


def test_content_list_names_packages_and_wheels_with_versions() -> None:
    contents = output_of("cat", "/usr/share/flowsnap/contents.txt").splitlines()
    assert contents == sorted(contents)
    assert any(line.startswith("deb criu=4.") for line in contents)
    assert "pip grpcio=1.81.1" in contents


def test_derived_image_gives_flows_what_pip_installed() -> None:
    subprocess.run([ROOT / "scripts" / "image", "--testing"], check=True, capture_output=True)
    doubled = output_of(
        "python3", "-c", "import numpy; print((numpy.arange(3) * 2).tolist())", image=TESTING_IMAGE, user="1000"
    )
    assert doubled == "[0, 2, 4]"


def test_nothing_is_built_when_no_input_changed() -> None:
    subprocess.run([ROOT / "scripts" / "image"], check=True, capture_output=True)
    again = subprocess.run([ROOT / "scripts" / "image"], check=True, capture_output=True, text=True)
    assert again.stdout == f"==> image {IMAGE} is up to date\n"


@pytest.mark.timeout(600)
def test_contents_are_the_same_when_built_by_apt_and_on_a_bootstrapped_base() -> None:
    done = subprocess.run([ROOT / "scripts" / "image", "--verify-same"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same contents both ways" in done.stdout
