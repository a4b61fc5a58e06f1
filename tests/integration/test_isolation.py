"""What a flow can't do. Each test is a flow that tries, in a real container."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

from flowsnap.v1 import types_pb2
from platform_under_test import ERROR, SUCCESS, Platform


def answers(platform: Platform, script: str, **fields: object) -> object:
    """What the flow put into output_value["answer"]."""
    execution = platform.run(script, **fields)
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS, ended.message
    return json.loads(ended.output_value_json)["answer"]


def test_a_flow_sees_only_its_own_processes(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import os, signal

        def handler(system, this):
            pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
            commands = [open(f"/proc/{pid}/cmdline").read() for pid in pids]
            reached = []
            for pid in range(2, 4000):
                try:
                    os.kill(pid, 0)
                except ProcessLookupError:
                    continue
                except PermissionError:
                    pass
                reached.append(pid)
            this.set_output("answer", [pids, any("agent" in c or "criu" in c for c in commands), reached, os.getpid()])
        """,
    )
    assert seen == [[1], False, [], 1]


def test_a_flow_is_an_ordinary_user_without_any_capability(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import os

        def handler(system, this):
            status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
            try:
                os.setuid(0)
                became = "root"
            except PermissionError as error:
                became = "refused"
            this.set_output("answer", {
                "ids": [os.getuid(), os.getgid(), os.getgroups()],
                "caps": [status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
                "no_new_privs": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(), "became": became,
            })
        """,
    )
    assert seen == {
        "ids": [1000, 1000, []],
        "caps": ["0" * 16] * 4,
        "no_new_privs": "1",
        "seccomp": "2",
        "became": "refused",
    }


def test_a_flow_finds_neither_token_nor_spool_nor_store_nor_sockets(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import os, socket, stat

        def handler(system, this):
            found = []
            for folder, folders, files in os.walk("/"):
                if folder.startswith(("/proc", "/dev")):
                    folders[:] = []
                    continue
                for name in files:
                    path = os.path.join(folder, name)
                    try:
                        mode = os.lstat(path).st_mode
                    except OSError:
                        continue
                    if stat.S_ISSOCK(mode) or name == "agent.json" or "spool" in path:
                        found.append(path)
            mounts = open("/proc/self/mountinfo").read()
            abstract = [line.split()[-1] for line in open("/proc/net/unix") if "@" in line]
            this.set_output("answer", {
                "found": found, "agent_dir": os.listdir("/flowsnap"), "sockets": os.listdir("/flowsnap-controller"),
                "mounted": "flowsnap-controller" in mounts or "/spool" in mounts,
                "run": [name for name in os.listdir("/run") if "flowsnap" in name], "abstract": abstract,
                "environment": [name for name in os.environ if "TOKEN" in name or "FLOWSNAP" in name],
            })
        """,
    )
    assert seen == {
        "found": [],
        "agent_dir": [],
        "sockets": [],
        "mounted": False,
        "run": [],
        "abstract": [],
        "environment": [],
    }


def test_a_flow_can_not_reach_the_agent_by_proc_or_ptrace(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import ctypes, os

        def attempt(what):
            try:
                return what()
            except OSError as error:
                return type(error).__name__

        def handler(system, this):
            libc = ctypes.CDLL(None, use_errno=True)
            def call(number, *arguments):
                result = libc.syscall(number, *arguments)
                return os.strerror(ctypes.get_errno()) if result < 0 else "worked"
            this.set_output("answer", {
                "parent": os.getppid(),
                "ptrace": call(101, 16, 1, 0, 0),
                "process_vm_readv": call(310, 1, 0, 0, 0, 0, 0),
                "parent memory": attempt(lambda: open("/proc/0/mem", "rb")),
                "kill all": attempt(lambda: os.kill(-1, 0)),
            })
        """,
    )
    assert seen == {
        "parent": 0,
        "ptrace": "Operation not permitted",
        "process_vm_readv": "Operation not permitted",
        "parent memory": "FileNotFoundError",
        "kill all": "ProcessLookupError",
    }


def test_a_flow_can_not_mount_nor_make_namespaces_nor_use_the_kernels_larger_surfaces(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import ctypes, os

        CALLS = {
            "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0), "umount2": (166, b"/tmp", 2),
            "pivot_root": (155, b"/", b"/"), "chroot": (161, b"/tmp"),
            "unshare user": (272, 0x10000000), "unshare net": (272, 0x40000000),
            "clone user": (56, 0x10000000 | 17, 0, 0, 0, 0), "setns": (308, 0, 0), "bpf": (321, 0, 0, 0),
            "io_uring_setup": (425, 1, 0), "keyctl": (250, 0, 0, 0), "add_key": (248, 0, 0, 0, 0, 0),
            "kexec_load": (246, 0, 0, 0, 0), "init_module": (175, 0, 0, b""), "perf_event_open": (298, 0, 0, 0, 0, 0),
            "userfaultfd": (323, 0), "reboot": (169, 0, 0, 0, 0), "open_by_handle_at": (304, 0, 0, 0),
            "fsopen": (430, b"tmpfs", 0), "move_mount": (429, 0, 0, 0, 0, 0),
        }

        def handler(system, this):
            libc = ctypes.CDLL(None, use_errno=True)
            refused = {}
            for name, (number, *arguments) in CALLS.items():
                result = libc.syscall(number, *arguments)
                refused[name] = os.strerror(ctypes.get_errno()) if result < 0 else "worked"
            clone3 = libc.syscall(435, 0, 0)
            this.set_output("answer", [sorted(set(refused.values())), os.strerror(ctypes.get_errno())])
        """,
    )
    assert seen == [["Operation not permitted"], "Function not implemented"]


def test_a_flow_can_not_write_outside_its_scratch_nor_to_the_kernel(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import os

        PLACES = ["/x", "/usr/x", "/etc/passwd", "/var/x", "/root/x", "/dev/x", "/run/x", "/etc/hosts",
                  "/etc/resolv.conf", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches",
                  "/proc/sys/kernel/core_pattern"]
        READS = ["/proc/kcore", "/proc/kmsg", "/etc/shadow", "/root", "/proc/1/environ/../../kpagecount"]

        def handler(system, this):
            written = []
            for place in PLACES:
                try:
                    with open(place, "w") as file:
                        file.write("x")
                    written.append(place)
                except OSError:
                    continue
            for place in READS:
                try:
                    os.listdir(place) if os.path.isdir(place) else open(place, "rb").read(1)
                    written.append(place)
                except OSError:
                    continue
            escaped = any(os.path.exists(up + "/flowsnap/agent.json") for up in ("/proc/1/root", "/../../.."))
            for place in ("/tmp/x", "/work/x", "/dev/shm/x"):
                open(place, "w").write("x")
            this.set_output("answer", [written, escaped])
        """,
    )
    assert seen == [[], False]


def test_an_execution_can_not_reach_another_ones_processes_or_unix_sockets(platform: Platform) -> None:
    holder = platform.run(
        """
        import socket

        def handler(system, this):
            server = socket.socket(socket.AF_UNIX)
            server.bind("\\0flow-secret")
            server.listen()
            named = socket.socket(socket.AF_UNIX)
            named.bind("/tmp/flow-secret.sock")
            named.listen()
            print("RESULT ready")
            this.sleep(3600)
        """
    )
    platform.wait_results(holder, 1)
    seen = answers(
        platform,
        """
        import socket

        def handler(system, this):
            reached = []
            for address in ("\\0flow-secret", "/tmp/flow-secret.sock"):
                try:
                    socket.socket(socket.AF_UNIX).connect(address)
                    reached.append(address)
                except OSError:
                    pass
            this.set_output("answer", reached)
        """,
    )
    assert seen == []
    assert platform.get(holder).status == types_pb2.EXECUTION_STATUS_SLEEPING
    platform.cancel(holder)


def test_a_fork_bomb_ends_at_the_pids_limit_and_the_agent_lives(platform: Platform) -> None:
    seen = answers(
        platform,
        """
        import os, time

        def handler(system, this):
            children = 0
            try:
                while children < 5000:
                    if os.fork() == 0:
                        time.sleep(3600)
                        os._exit(0)
                    children += 1
            except BlockingIOError:
                pass
            for pid in os.listdir("/proc"):
                if pid.isdigit() and pid != "1":
                    os.kill(int(pid), 9)
            while True:
                try:
                    os.wait()
                except ChildProcessError:
                    break
            this.set_output("answer", 10 < children < 64)
        """,
        pids_limit=64,
    )
    assert seen is True


def test_memory_past_the_limit_ends_the_execution_and_is_told_as_such(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.create_dump("before")
            hoard = []
            while True:
                hoard.append(bytearray(16 << 20))
        """,
        memory_limit_bytes=256 << 20,
    )
    ended = platform.wait_ended(execution)
    assert ended.status == ERROR
    assert "out of memory" in ended.message
    assert "256 MiB" in ended.message
    assert platform.load(execution, name="before", dry_run=True).savepoint.name == "before"


def test_code_that_writes_rubbish_to_the_agents_pipe_only_ends_its_own_execution(platform: Platform) -> None:
    execution = platform.run(
        """
        import os, time

        def handler(system, this):
            os.write(101, b"\\xff" * 64)
            time.sleep(60)
        """
    )
    assert platform.wait_ended(execution).status == ERROR
    assert answers(platform, "def handler(system, this): this.set_output('answer', 1)") == 1


def test_a_flow_can_not_make_the_controller_read_its_own_host_for_it(platform: Platform, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "allowed.db") as database:
        database.execute("create table t(a)")
    platform.connect("allowed", "SQLITE", path=str(tmp_path / "allowed.db"))
    platform.connect("api", "REST", base_url="http://127.0.0.1:9", headers={"authorization": "secret"})
    seen = answers(
        platform,
        f"""
        import flow_api

        DATABASE = "{platform.data_dir}/flowsnap.db"

        def attempt(what):
            try:
                return what()
            except flow_api.FlowsnapException as error:
                return type(error).__name__

        def handler(system, this):
            this.set_output("answer", [
                attempt(lambda: this.connect(connector_type="SQLITE", path=DATABASE, fetch="select 1")),
                attempt(lambda: this.connect("allowed", path=DATABASE, fetch="select * from settings")),
                attempt(lambda: this.connect("allowed", execute=f"attach '{{DATABASE}}' as x")),
                attempt(lambda: this.connect("allowed", execute=f"vacuum into '{{DATABASE}}.copy'")),
                attempt(lambda: this.connect("api", base_url="http://attacker.example", path="/")),
                attempt(lambda: this.connect("api", url="http://attacker.example")),
                attempt(lambda: this.connect(connector_type="REST", url="http://127.0.0.1:9/")),
                attempt(lambda: this.connect(connector_type="REST", url="http://[::1]:9/")),
                attempt(lambda: this.connect(connector_type="REST", url="http://169.254.169.254/latest")),
                attempt(lambda: this.connect("allowed", fetchval="select count(*) from t").get("output_value")),
            ])
        """,
    )
    assert seen == [
        "PermissionDenied",
        "InvalidInputError",
        "ConnectorError",
        "ConnectorError",
        "InvalidInputError",
        "InvalidInputError",
        "PermissionDenied",
        "PermissionDenied",
        "PermissionDenied",
        {"result": 0},
    ]


def test_the_data_folder_of_a_detached_controller_is_closed_to_other_users(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    snapctl = [Path(sys.executable).with_name("snapctl"), "--data-dir", data_dir]
    subprocess.run([*snapctl, "up", "--detach", "--", "--http-listen", "off"], check=True, capture_output=True)
    try:
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    finally:
        subprocess.run([*snapctl, "down"], check=True, capture_output=True)
