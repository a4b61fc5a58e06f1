"""A server that sees the world's side of a flow: what was asked of it, how often, and under which keys."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Shop:
    """An order is known by its Idempotency-Key: a repeated one gets the answer of the first, and has no effect."""

    orders: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    asked: list[tuple[str, str]] = field(default_factory=list)  # key and order, each time
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def order(self, key: str, what: str) -> int:
        """Answers how many different orders there were before."""
        with self.lock:
            self.orders[key].append(what)
            self.asked.append((key, what))
            return list(self.orders).index(key)

    def keys(self, what: str) -> list[str]:
        """Of the orders of that, in the order of the first time."""
        with self.lock:
            return [key for key, asked in self.orders.items() if what in asked]

    def times(self, key: str) -> int:
        with self.lock:
            return len(self.orders[key])

    def assert_nothing_done_twice(self) -> None:
        """For flows that order one thing after the other, and none twice.

        No key stood for two different orders, no order had two keys on one branch, and none was repeated when its flow
        had gone on to the next: it was completed then.
        """
        with self.lock:
            assert all(len(set(asked)) == 1 for asked in self.orders.values()), self.asked
            on_branches: dict[tuple[str, ...], list[str]] = defaultdict(list)
            for key in self.orders:
                on_branches[tuple(key.split("-")[:2])].append(self.orders[key][0])
            assert all(len(set(orders)) == len(orders) for orders in on_branches.values()), self.asked
            newest: dict[tuple[str, ...], str] = {}
            done: set[str] = set()
            for key, _ in self.asked:
                branch = tuple(key.split("-")[:2])
                if newest.get(branch, key) != key:
                    done.add(newest[branch])
                assert key not in done, self.asked
                newest[branch] = key


@contextlib.contextmanager
def open_shop() -> Iterator[Shop]:
    """On a free port of the loopback."""
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                # The customer died over it: nothing was ordered.
                self.close_connection = True
                return
            answer = json.dumps(shop.order(self.headers["Idempotency-Key"], body.decode())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """It tells by its records."""

    class Server(ThreadingHTTPServer):
        # Fifty customers may come at once when a controller is back; past five, the kernel resets some.
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)
            # Else a customer died between two orders.

    server = Server(("127.0.0.1", 0), Handler)
    shop.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
