"""Runs inside an execution's container, beside its agent: what CRIU alone takes for the same process tree.

Prints one JSON object: medians in milliseconds. Fed to `docker exec -i ... python -` by the benchmark.
"""

import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from agent import criu, sandbox, savepoint
from agent.channel import InFlight
from agent.paths import SCRATCH
from agent.scratch import Scratch

ROUNDS = int(os.environ["ROUNDS"])


def flow_pid() -> int:
    for name in os.listdir("/proc"):
        if name.isdigit() and b"flow_api.runner" in Path(f"/proc/{name}/cmdline").read_bytes():
            status = Path(f"/proc/{name}/status").read_text()
            if "NSpid:\t" + name + "\t1\n" in status:
                return int(name)
    raise SystemExit("no flow runs here")


def newest_scratch() -> Scratch:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return Scratch(Path([place for place in mounted if place.startswith(f"{SCRATCH}/")][-1]))


service = object.__new__(criu.Service)  # the agent's own service, warm
pid, scratch = flow_pid(), newest_scratch()
external = sandbox.external_mounts(scratch)


def raw_dump(folder: Path) -> float:
    """CRIU's dump and nothing else: no scratch, no notifications, the images on a tmpfs."""
    folder.mkdir()
    client = service.client()
    images = os.open(folder, os.O_DIRECTORY)
    criu._common(client.opts, images, -1, "dump.log")
    client.opts.pid = pid
    client.opts.external.extend(f"mnt[{path}]:{key}" for key, (path, _) in external.items())
    client.opts.leave_running = True
    client.opts.tcp_established = True
    began = time.perf_counter()
    client.dump()
    took = time.perf_counter() - began
    os.close(images)
    return took * 1000


dumps, restores, raw_bytes = [], [], 0
place = Path("/run/bench")
place.mkdir(exist_ok=True)
for number in range(ROUNDS):
    folder = place / f"dump-{number}"
    dumps.append(raw_dump(folder))
    raw_bytes = sum(file.stat().st_size for file in folder.iterdir())
    shutil.rmtree(folder)

# Restores need pipes in place of those that the tree talks to its agent with: whose they are is read off the tree.
keys = {
    role: os.readlink(f"/proc/{pid}/fd/{fd}")
    for role, fd in {"replies": 100, "calls": 101, "stdout": 1, "stderr": 2}.items()
}
folder = place / "restore"
(folder / "criu").mkdir(parents=True)
criu.dump(service, pid, folder / "criu", external, leave_stopped=False, while_frozen=lambda: scratch.capture(folder))
record = {
    "format": savepoint.FORMAT,
    "machine": os.uname().machine,
    "pipes": keys,
    "in_flight": InFlight().to_json(),
    "open_calls": [],
}
(folder / "savepoint.json").write_text(json.dumps(record))
for number in range(ROUNDS):
    kit = savepoint.Kit.prepare()
    time.sleep(0.05)  # a restore's CRIU is started ahead in the agent, too
    restored = savepoint.restore(folder, 9_000_000 + number, lambda: kit)
    restores.append(restored.restore_us / 1000)
    restored.tree.kill()
    os.waitpid(restored.tree.pid, 0)
    restored.tree.pipes.close_ours()
    restored.tree.scratch.discard()
shutil.rmtree(place)
json.dump(
    {"dump_ms": statistics.median(dumps), "restore_ms": statistics.median(restores), "raw_bytes": raw_bytes}, sys.stdout
)
