"""Runs inside an execution's container, beside its agent: what CRIU alone takes for the same process tree.

Answers each line on stdin ("dump", "restore", "restore-ahead") with a line of milliseconds. Started as
`docker exec -i ... python -c`.
"""

import itertools
import json
import os
import shutil
import sys
import time
from pathlib import Path

from agent import criu, sandbox, savepoint
from agent.channel import InFlight
from agent.paths import SCRATCH
from agent.scratch import Scratch

PLACE = Path("/run/bench")


def flow_pid() -> int:
    """The tree's first process: number 1 of its own pid namespace."""
    for name in os.listdir("/proc"):
        if name.isdigit() and b"flow_api.runner" in Path(f"/proc/{name}/cmdline").read_bytes():
            status = Path(f"/proc/{name}/status").read_text()
            if "NSpid:\t" + name + "\t1\n" in status:
                return int(name)
    raise SystemExit("no flow runs here")


def scratch_of_the_flow() -> Scratch:
    """Restores made ahead have a scratch too, an empty one."""
    return Scratch(next(place for place in SCRATCH.iterdir() if (place / "flow").exists()))


service = object.__new__(criu.Service)  # the agent's own service, warm
savepoint._places = itertools.count(9_000_000)
pid, scratch = flow_pid(), scratch_of_the_flow()
external = sandbox.external_mounts(scratch)
pipes = {"replies": 100, "calls": 101, "stdout": 1, "stderr": 2}
keys = {role: os.readlink(f"/proc/{pid}/fd/{fd}") for role, fd in pipes.items()}


def raw_dump() -> float:
    """CRIU's dump and nothing else: no scratch, no notifications, the images on a tmpfs."""
    folder = PLACE / "dump"
    folder.mkdir(parents=True)
    client = service.client()
    images = os.open(folder, os.O_DIRECTORY)
    criu._common(client.opts, images, -1, "dump.log")
    client.opts.pid = pid
    client.opts.external.extend(f"mnt[{path}]:{key}" for key, (path, _) in external.items())
    client.opts.leave_running = True
    client.opts.tcp_established = True
    client.opts.tcp_skip_in_flight = True
    began = time.perf_counter()
    client.dump()
    took = time.perf_counter() - began
    os.close(images)
    shutil.rmtree(folder)
    return took * 1000


def raw_restore(*, ahead: bool) -> float:
    """CRIU's restore and nothing else; ahead: by a process that was started before, as the agent does it.

    Otherwise as CRIU is had by whoever calls it: its start is in the time.
    """
    folder = PLACE / "restore"
    (folder / "criu").mkdir(parents=True)
    criu.dump(
        service, pid, folder / "criu", external, leave_stopped=False, while_frozen=lambda: scratch.capture(folder)
    )
    record = {
        "format": savepoint.FORMAT,
        "machine": os.uname().machine,
        "pipes": keys,
        "in_flight": InFlight().to_json(),
        "open_calls": [],
        "last_seq": 0,
        "frozen": False,
    }
    (folder / "savepoint.json").write_text(json.dumps(record))
    kit = savepoint.Kit.prepare(0)
    time.sleep(0.1)
    starting = 0.0
    if not ahead:
        kit.worker.close()
        began = time.perf_counter()
        kit.worker = criu.Worker(tuple(kit.pipes.flow_ends().values()))
        starting = (time.perf_counter() - began) * 1000
    restored = savepoint.restore(folder, lambda: kit)
    restored.tree.kill()
    os.waitpid(restored.tree.pid, 0)
    restored.tree.pipes.close_ours()
    restored.tree.scratch.discard()
    shutil.rmtree(folder)
    return starting + restored.restore_us / 1000


MEASURES = {
    "dump": raw_dump,
    "restore": lambda: raw_restore(ahead=False),
    "restore-ahead": lambda: raw_restore(ahead=True),
}

for line in sys.stdin:
    print(MEASURES[line.strip()](), flush=True)
