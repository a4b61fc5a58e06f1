"""State of a running program that goes on as if nothing had happened, load after load."""

from __future__ import annotations

import pytest
from platform_under_test import Platform

# Each flow makes a savepoint `here` and goes on to print one line RESULT: the same line after every load.
FLOWS = {
    "locals and closures": """
        def counter():
            n = 0
            def add(k):
                nonlocal n
                n += k
                return n
            return add

        def handler(system, this):
            words, add = ["a", {"b": (1, 2)}], counter()
            add(5)
            this.create_dump("here")
            words.append(add(10))
            print("RESULT", words, add(0))
            this.sleep(3600)
        """,
    "a running generator": """
        def numbers():
            for i in range(100):
                yield i * i

        def handler(system, this):
            running = numbers()
            first = [next(running) for _ in range(5)]
            this.create_dump("here")
            print("RESULT", first, [next(running) for _ in range(3)])
            this.sleep(3600)
        """,
    "module globals": """
        import collections
        SEEN = collections.Counter()

        def handler(system, this):
            SEEN["x"] += 1
            this.create_dump("here")
            SEEN["x"] += 1
            SEEN["y"] += 1
            print("RESULT", dict(SEEN))
            this.sleep(3600)
        """,
    "deep recursion": """
        import sys
        sys.setrecursionlimit(5000)

        def down(this, depth):
            if depth == 0:
                this.create_dump("here")
                return 0
            return depth + down(this, depth - 1)

        def handler(system, this):
            print("RESULT", down(this, 800))
            this.sleep(3600)
        """,
    "threads waiting on locks and queues": """
        import queue, threading

        def handler(system, this):
            work, done = queue.Queue(), queue.Queue()
            lock, got = threading.Lock(), []
            def worker():
                while True:
                    done.put(work.get() * 2)
            def locker():
                with lock:
                    got.append("lock")
                done.put("locked")
            lock.acquire()
            threads = [threading.Thread(target=worker, daemon=True) for _ in range(3)]
            threads.append(threading.Thread(target=locker, daemon=True))
            for thread in threads:
                thread.start()
            this.create_dump("here")
            for i in range(4):
                work.put(i)
            results = sorted(done.get() for _ in range(4))
            lock.release()
            print("RESULT", results, done.get(), got, all(t.is_alive() for t in threads[:3]))
            this.sleep(3600)
        """,
    "a child process in dialogue over pipes": """
        import subprocess, sys
        CHILD = "import sys\\nn = 0\\nfor line in sys.stdin:\\n    n += int(line)\\n    print(n, flush=True)"

        def handler(system, this):
            child = subprocess.Popen([sys.executable, "-u", "-c", CHILD], stdin=-1, stdout=-1, text=True)
            def ask(n):
                child.stdin.write(f"{n}\\n")
                child.stdin.flush()
                return child.stdout.readline().strip()
            first = [ask(1), ask(2)]
            this.create_dump("here")
            print("RESULT", first, ask(4), ask(8), child.poll())
            this.sleep(3600)
        """,
    "a process pool": """
        import concurrent.futures

        def square(n):
            return n * n

        def handler(system, this):
            pool = concurrent.futures.ProcessPoolExecutor(2)
            first = list(pool.map(square, range(4)))
            this.create_dump("here")
            print("RESULT", first, list(pool.map(square, range(4, 8))))
            this.sleep(3600)
        """,
    "an asyncio loop": """
        import asyncio

        async def ticker(queue):
            for i in range(100):
                await asyncio.sleep(0.01)
                await queue.put(i)

        async def main(this):
            queue = asyncio.Queue()
            task = asyncio.create_task(ticker(queue))
            first = [await queue.get() for _ in range(3)]
            this.create_dump("here")
            second = [await queue.get() for _ in range(3)]
            print("RESULT", first, second, task.done())
            task.cancel()

        def handler(system, this):
            asyncio.run(main(this))
            this.sleep(3600)
        """,
    "an open file with its offset": """
        def handler(system, this):
            file = open("/work/lines.txt", "w+")
            file.write("".join(f"line {i}\\n" for i in range(100)))
            file.seek(0)
            for _ in range(10):
                file.readline()
            this.create_dump("here")
            print("RESULT", file.readline().strip(), file.readline().strip(), file.tell())
            this.sleep(3600)
        """,
    "a file in /tmp that was appended to afterwards": """
        import os

        def handler(system, this):
            file = open("/tmp/data", "a")
            file.write("before")
            file.flush()
            this.create_dump("here")
            size = os.path.getsize("/tmp/data")
            file.write(" and after")
            file.flush()
            print("RESULT", size, open("/tmp/data").read())
            this.sleep(3600)
        """,
    "files that were deleted, made and renamed afterwards": """
        import os

        def handler(system, this):
            open("kept", "w").write("1")
            open("gone", "w").write("2")
            os.link("kept", "hard")
            os.symlink("kept", "soft")
            this.create_dump("here")
            seen = sorted(os.listdir("."))
            os.remove("gone")
            os.rename("kept", "renamed")
            open("new", "w").write("3")
            print("RESULT", seen, sorted(os.listdir(".")), os.stat("hard").st_nlink)
            this.sleep(3600)
        """,
    "an open SQLite connection": """
        import sqlite3

        def handler(system, this):
            database = sqlite3.connect("/tmp/x.db")
            database.execute("create table t(a)")
            database.execute("insert into t values (1)")
            database.commit()
            this.create_dump("here")
            database.execute("insert into t values (2)")
            database.commit()
            print("RESULT", database.execute("select a from t order by a").fetchall())
            this.sleep(3600)
        """,
    "an open SQLite connection in WAL mode": """
        import sqlite3

        def handler(system, this):
            database = sqlite3.connect("/work/x.db")
            database.execute("pragma journal_mode=wal")
            database.execute("create table t(a)")
            database.commit()
            database.execute("insert into t values (1)")
            this.create_dump("here")
            database.execute("insert into t values (2)")
            database.commit()
            print("RESULT", database.execute("select a from t order by a").fetchall())
            this.sleep(3600)
        """,
    "the state of random": """
        import random

        def handler(system, this):
            random.seed(7)
            first = random.random()
            this.create_dump("here")
            print("RESULT", first, random.random(), random.randrange(1000))
            this.sleep(3600)
        """,
    "an unlinked file that is still open": """
        import os, tempfile

        def handler(system, this):
            file = tempfile.TemporaryFile()
            file.write(b"x" * 3_000_000)
            file.flush()
            this.create_dump("here")
            file.write(b"tail")
            file.seek(2_999_998)
            print("RESULT", file.read())
            this.sleep(3600)
        """,
    "shared memory and a memory mapped file": """
        import mmap, multiprocessing.shared_memory as shm

        def handler(system, this):
            block = shm.SharedMemory(create=True, size=8192)
            block.buf[:5] = b"hello"
            open("/tmp/mapped", "wb").write(bytes(8192))
            file = open("/tmp/mapped", "r+b")
            mapped = mmap.mmap(file.fileno(), 8192)
            mapped[:2] = b"ab"
            this.create_dump("here")
            block.buf[5:7] = b"!!"
            mapped[2:4] = b"cd"
            print("RESULT", bytes(block.buf[:8]), bytes(mapped[:6]))
            this.sleep(3600)
        """,
    "a listening server and its client": """
        import socket, threading

        def serve(server):
            while True:
                connection, _ = server.accept()
                connection.sendall(connection.recv(100).upper())
                connection.close()

        def handler(system, this):
            server = socket.create_server(("127.0.0.1", 18080))
            threading.Thread(target=serve, args=(server,), daemon=True).start()
            def ask(text):
                with socket.create_connection(("127.0.0.1", 18080)) as client:
                    client.sendall(text)
                    return client.recv(100)
            first = ask(b"one")
            this.create_dump("here")
            print("RESULT", first, ask(b"two"))
            this.sleep(3600)
        """,
}


@pytest.mark.parametrize("what", FLOWS)
def test_survives_three_loads(what: str, platform: Platform) -> None:
    execution = platform.run(FLOWS[what])
    results = platform.load_three_times(execution)
    assert len(results) == 4
    assert len(set(results)) == 1, results


def test_monotonic_time_does_not_go_backwards_over_three_loads(platform: Platform) -> None:
    execution = platform.run(
        """
        import time

        def handler(system, this):
            before, wall = time.monotonic(), time.time()
            this.create_dump("here")
            after = time.monotonic()
            print("RESULT", after >= before, after - before < 30, time.time() >= wall)
            this.sleep(3600)
        """
    )
    assert platform.load_three_times(execution) == ["True True True"] * 4


def test_an_open_connection_gets_a_clean_error_and_connects_again(platform: Platform) -> None:
    execution = platform.run(
        """
        import socket, subprocess, sys, threading

        def serve(server):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

        def echo(connection):
            while data := connection.recv(100):
                connection.sendall(data)

        def handler(system, this):
            # A server in a process that is no part of the tree's state would be better still; the listening socket is
            # restored, the established connection is not.
            server = socket.create_server(("127.0.0.1", 18081))
            threading.Thread(target=serve, args=(server,), daemon=True).start()
            client = socket.create_connection(("127.0.0.1", 18081), timeout=10)
            client.sendall(b"1")
            first = client.recv(10)
            this.create_dump("here")
            try:
                client.sendall(b"2")
                second = client.recv(10)
                if not second:
                    raise ConnectionResetError("closed")
                how = "same"
            except OSError as error:
                client = socket.create_connection(("127.0.0.1", 18081), timeout=10)
                client.sendall(b"2")
                second, how = client.recv(10), "again"
            print("RESULT", first, second, how)
            this.sleep(3600)
        """
    )
    assert platform.load_three_times(execution) == ["b'1' b'2' same"] + ["b'1' b'2' again"] * 3


def test_calls_from_several_threads_at_once(platform: Platform) -> None:
    execution = platform.run(
        """
        import threading

        def handler(system, this):
            answers = {}
            def work(n):
                for i in range(5):
                    # Settings stay as they are over a load: each is written once.
                    system.setting(f"several-{n}-{i}").save(i * n)
                    answers[n, i] = system.setting(f"several-{n}-{i}").get()
            threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            this.create_dump("here")
            for thread in threads:
                thread.join()
            print("RESULT", all(answers[n, i] == i * n for n in range(6) for i in range(5)), len(answers))
            this.sleep(3600)
        """
    )
    assert platform.load_three_times(execution) == ["True 30"] * 4
