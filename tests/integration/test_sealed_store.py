"""What a flow has in memory is nowhere to be read in the data directory, and comes back with the key alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from platform_under_test import SUCCESS, Platform

# In the script's text there are only its halves; in its memory, and so in its savepoints, the whole.
FLOW = """
    def handler(system, this):
        secret = "".join(["the-password-", "of-the-database"])
        this.create_dump("knows-it")
        this.sleep(0)
        if this.restored:
            print("RESULT", secret)
"""
SECRET = b"the-password-of-the-database"


def _wait_spools_empty(platform: Platform) -> None:
    platform.wait_until(lambda: not list((platform.data_dir / "agents").iterdir()))


def test_memory_of_a_flow_is_in_no_file_in_the_clear(own_platform: Platform) -> None:
    execution = own_platform.run(FLOW)
    assert own_platform.wait_ended(execution).status == SUCCESS
    _wait_spools_empty(own_platform)
    own_platform.kill_controller()
    found = [
        path
        for path in own_platform.data_dir.rglob("*")
        if path.is_file() and not path.is_symlink() and SECRET in path.read_bytes()
    ]
    assert found == []
    assert list((own_platform.data_dir / "store" / "packs").iterdir())
    own_platform.start()
    own_platform.load(execution, name="knows-it")
    assert own_platform.wait_results(execution, 1) == [SECRET.decode()]


def test_controller_does_not_start_without_the_key_of_its_savepoints(tmp_path: Path) -> None:
    key = tmp_path / "elsewhere" / "the.key"
    key.parent.mkdir()
    platform = Platform(tmp_path / "data", "--store-key", str(key))
    platform.start()
    try:
        execution = platform.run(FLOW)
        assert platform.wait_ended(execution).status == SUCCESS
        assert not (platform.data_dir / "store.key").exists()
        platform.kill_controller()
        hidden = key.rename(tmp_path / "hidden.key")
        with pytest.raises(AssertionError, match=r"the\.key has no key to open them"):
            platform.start()
        assert not key.exists()
        hidden.rename(key)
        # The one that gave up has to be gone before the next one may have the folder.
        assert platform.process is not None
        platform.process.wait()
        platform.start()
        platform.load(execution, name="knows-it")
        assert platform.wait_results(execution, 1) == [SECRET.decode()]
    finally:
        platform.stop()
