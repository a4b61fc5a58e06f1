"""The acceptance flow of the Flow-API, on a real database and a real HTTP server, and flows of derived images."""

from __future__ import annotations

import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_under_test import ERROR, SUCCESS, TESTING_IMAGE, Platform

FLOW = Path(__file__).parents[2] / "examples" / "acceptance.py"


class Uploads:
    """A remote API that refuses its first upload."""

    def __init__(self) -> None:
        bodies: list[object] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(503 if len(bodies) == 1 else 201)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.bodies = bodies
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    running = Uploads()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_the_upload_is_tried_again_with_the_data_that_was_fetched_before(
    platform: Platform, uploads: Uploads, tmp_path: Path
) -> None:
    path = tmp_path / "data.db"
    database = sqlite3.connect(path)
    database.execute("create table data(id integer, text text)")
    database.execute("insert into data values (1, 'old')")
    database.commit()
    platform.connect("database", "SQLITE", path=str(path))
    platform.connect("remote-api", "REST", base_url=f"http://127.0.0.1:{uploads.server.server_port}")

    execution = platform.run(FLOW.read_text(), file_name=FLOW.name)
    failed = platform.wait_ended(execution)
    assert failed.status == ERROR
    assert "503" in failed.message

    database.execute("update data set text = 'new'")
    database.commit()
    database.close()
    platform.load(execution, name="with-fetched-data")
    platform.wait_until(lambda: platform.get(execution).message == "all done", execution)

    assert platform.wait_ended(execution).status == SUCCESS
    assert uploads.bodies == [[{"id": 1, "text": "old"}]] * 2


def test_a_numpy_array_survives_three_loads_in_a_derived_image(platform: Platform) -> None:
    execution = platform.run(
        """
        import numpy

        def handler(system, this):
            array = numpy.arange(200_000, dtype="float64").reshape(400, 500)
            view = array[::2, 1::3]
            generator = numpy.random.default_rng(7)
            first = generator.integers(1000)
            this.create_dump("here")
            array *= 2
            print("RESULT", array.sum(), view.sum(), view.base is array, first, generator.integers(1000, size=3))
            this.sleep(3600)
        """,
        container_image=TESTING_IMAGE,
    )
    results = platform.load_three_times(execution)
    assert len(results) == 4
    assert len(set(results)) == 1, results
