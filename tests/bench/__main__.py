"""`make bench`: what savepoints and loads cost, each beside CRIU alone on the same process tree in the same run.

Machines are noisy: everything is a median of many, in turns with its counterpart, and what counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from platform_under_test import Platform

ROUNDS = 25
TURNS = 3
RAW = Path(__file__).with_name("raw_criu.py")

# Between its turns the flow sleeps, so that CRIU alone can be measured on the very same tree.
CALLING = """
import json, time

def handler(system, this):
    heap = bytearray(this.get("input_value") << 20)
    for at in range(0, len(heap), 4096):
        heap[at] = at >> 12 & 255
    for turn in range({turns}):
        took = []
        for i in range({rounds}):
            began = time.perf_counter()
            this.get("id")
            took.append((time.perf_counter() - began) * 1000)
        print("RESULT", json.dumps(took))
        while not system.setting("bench-%s-%d" % (this.get("id"), turn)).exists():
            this.sleep(0.5)
"""

LOADING = """
import time

def handler(system, this):
    heap = bytearray(this.get("input_value") << 20)
    for at in range(0, len(heap), 4096):
        heap[at] = 1
    this.create_dump("here")
    print("RESULT", time.time())
    this.sleep(3600)
"""

MANY = """
def handler(system, this):
    seen = []
    for i in range(100):
        seen.append({"number": i, "text": "row %d" % i})
        this.get("id")
    this.success("done")
"""


def raw(execution: str, rounds: int = ROUNDS) -> dict[str, float]:
    """CRIU alone, in the execution's container."""
    answer = subprocess.run(
        [
            "docker",
            "exec",
            "-i",
            "-e",
            f"ROUNDS={rounds}",
            f"flowsnap-{execution}",
            "/opt/flowsnap/venv/bin/python",
            "-",
        ],
        input=RAW.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise SystemExit(answer.stderr)
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


def calls(platform: Platform, heap_mib: int, rounds: int) -> tuple[float, float, float]:
    """Median of a call with its savepoint, of the raw dump, of the raw restore; milliseconds."""
    took: list[float] = []
    raws: list[dict[str, float]] = []
    execution = platform.run(CALLING.format(turns=TURNS, rounds=rounds), heap_mib)
    for turn in range(TURNS):
        took += json.loads(platform.wait_results(execution, turn + 1)[turn])
        raws.append(raw(execution, rounds))
        go_on = f"def handler(system, this): system.setting('bench-{execution}-{turn}').save(True)"
        platform.wait_ended(platform.run(go_on))
    platform.wait_ended(execution)
    return (
        statistics.median(took),
        statistics.median(figures["dump_ms"] for figures in raws),
        statistics.median(figures["restore_ms"] for figures in raws),
    )


def loads(platform: Platform, heap_mib: int, rounds: int) -> tuple[float, float, float]:
    """Median until the flow's next instruction, of CRIU's part of it, and of the controller's answer; milliseconds."""
    execution = platform.run(LOADING, heap_mib)
    platform.wait_results(execution, 1)
    until, criu_part, answer = [], [], []
    for number in range(rounds):
        time.sleep(0.15)
        began = time.time()
        response = platform.load(execution, name="here")
        resumed = float(platform.wait_results(execution, number + 2)[-1])
        until.append((resumed - began) * 1000)
        criu_part.append(response.restore_us / 1000)
        answer.append(response.total_us / 1000)
    platform.cancel(execution)
    return statistics.median(until), statistics.median(criu_part), statistics.median(answer)


def snapctl_load(platform: Platform, rounds: int) -> float:
    """Median of the whole command, milliseconds."""
    execution = platform.run(LOADING, 0)
    platform.wait_results(execution, 1)
    took = []
    snapctl = Path(sys.executable).with_name("snapctl")
    for _ in range(rounds):
        time.sleep(0.15)
        began = time.perf_counter()
        subprocess.run(
            [snapctl, "--data-dir", platform.data_dir, "load", execution, "--name", "here", "-y"],
            check=True,
            capture_output=True,
            env=os.environ | {"NO_COLOR": "1"},
        )
        took.append((time.perf_counter() - began) * 1000)
    platform.cancel(execution)
    return statistics.median(took)


def stored(platform: Platform) -> tuple[int, int]:
    """Raw and stored bytes of 100 savepoints of a small flow."""
    execution = platform.run(MANY)
    platform.wait_ended(execution)
    savepoints = platform.savepoints(execution)[:100]
    return sum(s.raw_bytes for s in savepoints), sum(s.stored_bytes for s in savepoints)


def agent(platform: Platform) -> tuple[float, float, float]:
    """Resident memory of an idle agent in MiB; container start and flow start in milliseconds."""
    starts = []
    memory = 0.0
    for _ in range(5):
        began = time.time()
        execution = platform.run(
            "import time\ndef handler(system, this):\n    print('RESULT', time.time())\n    this.sleep(3600)\n"
        )
        starts.append((float(platform.wait_results(execution, 1)[0]) - began) * 1000)
        status = subprocess.run(
            ["docker", "exec", f"flowsnap-{execution}", "cat", "/proc/1/status"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        memory = int(status.split("VmRSS:")[1].split()[0]) / 1024
        platform.cancel(execution)
    return memory, statistics.median(starts), min(starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heaps", default="0,16,64,256", help="MiB of heap, comma separated")
    parser.add_argument("--durability", default="process", choices=("process", "host"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowsnap-bench-") as folder:
        platform = Platform(Path(folder), "--durability", arguments.durability)
        platform.start()
        try:
            memory, start, best = agent(platform)
            print(
                f"agent: {memory:.1f} MiB resident; run until the flow's first line: {start:.0f} ms (best {best:.0f})"
            )
            raw_bytes, stored_bytes = stored(platform)
            print(
                f"store: 100 savepoints, raw {raw_bytes / 1e6:.1f} MB, stored {stored_bytes / 1e6:.2f} MB"
                f" = {100 * stored_bytes / raw_bytes:.2f}%"
            )
            print("heap MiB | call ms | raw dump ms | ratio | load ms | CRIU's part ms | raw restore ms | ratio")
            for heap in map(int, arguments.heaps.split(",")):
                rounds = ROUNDS if heap < 64 else 8  # noqa: PLR2004
                call, dump, restore = calls(platform, heap, rounds)
                until, part, _ = loads(platform, heap, rounds)
                print(
                    f"{heap:8} | {call:7.1f} | {dump:11.1f} | {call / dump:5.2f} | {until:7.1f} | {part:14.1f} |"
                    f" {restore:14.1f} | {until / restore:5.2f}",
                    flush=True,
                )
            print(f"snapctl load as a whole: {snapctl_load(platform, 10):.0f} ms")
        finally:
            platform.stop()


if __name__ == "__main__":
    main()
