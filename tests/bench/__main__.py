"""`make bench`: what savepoints and loads cost, each beside CRIU alone on the same process tree in the same run.

Machines are noisy: everything is a median of many, in turns with its counterpart, and what counts is the ratio.
"""

from __future__ import annotations

import argparse
import http.server
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from platform_under_test import Platform

ROUNDS = 25
RAW = Path(__file__).with_name("raw_criu.py")

# It works for a while, makes a call, and then stands still in another one while CRIU alone dumps the very same tree.
CALLING = """
import time

def handler(system, this):
    heap = bytearray(this.get("input_value") << 20)
    for at in range(0, len(heap), 4096):
        heap[at : at + 8] = at.to_bytes(8)
    for turn in range({rounds}):
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        began = time.perf_counter()
        this.get("id")
        print("RESULT", (time.perf_counter() - began) * 1000)
        this.connect("bench-gate", path="/", timeout=600)
"""

LOADING = """
import time

def handler(system, this):
    heap = bytearray(this.get("input_value") << 20)
    for at in range(0, len(heap), 4096):
        heap[at : at + 8] = at.to_bytes(8)
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


class Gate:
    """An HTTP server that answers when told to: a flow that asks it stands still in its call."""

    def __init__(self) -> None:
        reached, opened = self._reached, self._opened = threading.Semaphore(0), threading.Semaphore(0)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reached.release()
                opened.acquire()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_reached(self) -> None:
        self._reached.acquire()

    def open(self) -> None:
        self._opened.release()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Raw:
    """CRIU alone, in an execution's container."""

    def __init__(self, execution: str) -> None:
        self._process = subprocess.Popen(
            ["docker", "exec", "-i", f"flowsnap-{execution}", "/opt/flowsnap/venv/bin/python", "-c", RAW.read_text()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, what: str) -> float:
        """What is "dump" or "restore"; milliseconds."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def calls(platform: Platform, heap_mib: int, rounds: int) -> tuple[float, float, float, float]:
    """Median of a call with its savepoint, of the raw dump, of the raw restore, and of one by a CRIU started ahead."""
    gate = Gate()
    platform.connect("bench-gate", "REST", base_url=gate.url)
    execution = platform.run(CALLING.format(rounds=rounds), heap_mib)
    gate.wait_reached()
    raw = Raw(execution)
    dumps, restores, restores_ahead = [], [], []
    for turn in range(rounds):
        platform.wait_results(execution, turn + 1)
        # Two calls a turn and one before: the savepoint at the call in which it stands is there.
        platform.wait_until(lambda count=2 * turn + 3: len(platform.savepoints(execution)) >= count, execution)
        dumps.append(raw("dump"))
        restores.append(raw("restore"))
        restores_ahead.append(raw("restore-ahead"))
        gate.open()
        if turn + 1 < rounds:
            gate.wait_reached()
    raw.close()
    platform.wait_ended(execution)
    gate.close()
    took = list(map(float, platform.results(execution)))
    return (
        statistics.median(took[1:]),
        statistics.median(dumps[1:]),
        *(statistics.median(measured[1:]) for measured in (restores, restores_ahead)),
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
            print(
                "heap MiB | call ms | raw dump ms | ratio | load ms | CRIU's part ms | raw restore ms | ratio |"
                " raw ahead ms | ratio"
            )
            for heap in map(int, arguments.heaps.split(",")):
                rounds = ROUNDS if heap < 64 else 9
                call, dump, restore, ahead = calls(platform, heap, rounds)
                until, part, _ = loads(platform, heap, rounds)
                print(
                    f"{heap:8} | {call:7.1f} | {dump:11.1f} | {call / dump:5.2f} | {until:7.1f} | {part:14.1f} |"
                    f" {restore:14.1f} | {until / restore:5.2f} | {ahead:12.1f} | {until / ahead:5.2f}",
                    flush=True,
                )
            print(f"snapctl load as a whole: {snapctl_load(platform, 10):.0f} ms")
        finally:
            platform.stop()


if __name__ == "__main__":
    main()
