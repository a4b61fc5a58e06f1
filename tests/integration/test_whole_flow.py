"""One flow with all that a flow may hold at once, taken back to several of its points."""

from __future__ import annotations

import json

import pytest
from platform_under_test import TESTING_IMAGE, Platform

# Each is started by the one above it.
NESTED = """
def handler(system, this):
    depth = this.get("input_value")["depth"]
    below = this.flow("whole-nested", depth=depth - 1).get("output_value")["sum"] if depth else 0
    this.save(output_value={"sum": depth + below})
"""

WHOLE = '''
import json

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

PARTNER = """
def handler(system, this):
    lock = system.setting("whole-lock")
    lock.acquire()
    system.setting("whole-handed").list_append(this.get("id"))
    lock.release()
    this.success("had the lock")
"""


def handler(system, this):
    for number in range(3):
        system.file(f"whole-{number}").save("x" * (number + 1))
    key = RSA.generate(2048)
    count, seen, left = 0, [], []

    def tally(text):
        nonlocal count
        count += len(text)
        return count

    this.create_dump("with a key")
    try:
        for file in system.files(filter={"field": "name", "op": "like", "value": "whole-%"}):
            try:
                digest = SHA256.new(file.get("content_bytes"))
                signature = pkcs1_15.new(key).sign(digest)
                if file.name == "whole-1":
                    this.create_dump("in the loop")
                pkcs1_15.new(key.public_key()).verify(digest, signature)
                seen.append([file.name, tally(file.get("content")), signature.hex()[:8]])
            finally:
                this.log("done with", file.name)
                left.append(file.name)
        nested = this.flow("whole-nested", depth=3).get("output_value")["sum"]
        lock = system.setting("whole-lock")
        lock.acquire()
        partner = this.script(PARTNER, wait=False)
        lock.release(to=partner.get("id"))
        this.create_dump("lock handed over")
        lock.acquire(timeout=60)
        handed = partner.get("id") in system.setting("whole-handed").get()
        lock.release()
        said = partner.wait().get("message")
    finally:
        print("RESULT", json.dumps([key.public_key().export_key().decode()[60:100], seen, left, nested, handed, said]))
    this.sleep(3600)
'''


@pytest.mark.timeout(180)
def test_a_flow_of_everything_goes_on_from_wherever_it_is_taken_back_to(platform: Platform) -> None:
    platform.push("whole-nested", NESTED)
    execution = platform.run(WHOLE, container_image=TESTING_IMAGE)
    (first,) = platform.wait_results(execution, 1)
    key, seen, left, nested, handed, said = json.loads(first)
    assert len(key) == 40
    assert [(name, total) for name, total, _ in seen] == [("whole-0", 1), ("whole-1", 3), ("whole-2", 6)]
    assert left == ["whole-0", "whole-1", "whole-2"]
    assert (nested, handed, said) == (6, True, "had the lock")

    platform.wait_savepoint(execution, "sleep")
    points = [one for one in platform.savepoints(execution) if one.branch == 1]
    calls = {
        call: [one.number for one in points if one.call == call] for call in ("file_get", "flow", "wait_for", "log")
    }
    taken = [str(one.number) for one in points if one.name]
    # The second file's content, the last finally block, the nested children, and the wait for the partner.
    taken += [
        str(number) for number in (calls["file_get"][2], calls["log"][-1], calls["flow"][0], calls["wait_for"][0])
    ]
    assert len(taken) == 7
    for count, number in enumerate(taken, 2):
        platform.load(execution, id=number)
        assert platform.wait_results(execution, count)[-1] == first, number
    platform.cancel(execution)
