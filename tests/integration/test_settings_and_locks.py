"""Settings and their locks: kept across executions, taken in turn, handed over, and never lost."""

from __future__ import annotations

import json

from command_line import snapctl
from flowsnap.v1 import types_pb2
from platform_under_test import ERROR, SUCCESS, Platform

WAITING_LOCK = types_pb2.EXECUTION_STATUS_WAITING_LOCK

ACQUIRING = """
    def handler(system, this):
        name = this.get("input_value")["lock"]
        system.setting(name).acquire(timeout=60)
        order = system.setting(name + "-order")
        order.list_append(this.get("name"))
        system.setting(name).release()
    """


def run_and_get(platform: Platform, script: str, value: object = None) -> list[str]:
    execution = platform.run(script, value)
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS, ended.message
    return platform.results(execution)


def held_lock(platform: Platform, name: str) -> str:
    """An execution that holds the lock, and sleeps."""
    execution = platform.run(
        """
        def handler(system, this):
            system.setting(this.get("input_value")).acquire()
            print("RESULT held")
            this.sleep(3600)
        """,
        name,
    )
    platform.wait_results(execution, 1)
    return execution


def locks(platform: Platform) -> dict[str, dict[str, object]]:
    return {lock["name"]: lock for lock in snapctl(platform, "lock", "ls", "-o", "json").json["locks"]}


def test_fields_are_read_changed_and_kept_back_until_they_are_saved(platform: Platform) -> None:
    results = run_and_get(
        platform,
        """
        import flow_api

        def handler(system, this):
            setting = system.setting("fields ü")
            print("RESULT", setting.exists())
            setting.save({"a": [1, None], "ü": "\\u2028"})
            print("RESULT", setting.get("value") == {"a": [1, None], "ü": "\\u2028"}, setting.get("name", "locked_by"))
            setting.set("value", 5)
            print("RESULT", setting.get(), setting.load("value")["a"])
            setting.save()
            print("RESULT", setting.get(), setting.get("size_bytes"), setting.get("locked_by"))
            system.setting("appended").list_append(1).list_append({"two": 2})
            print("RESULT", system.setting("appended").get())
            for wrong in (lambda: setting.list_append(1), lambda: setting.get("wings"), lambda: setting.set(valeu=1)):
                try:
                    wrong()
                except (flow_api.InvalidInputError, TypeError) as error:
                    print("RESULT", type(error).__name__)
            setting.delete()
            try:
                setting.get()
            except flow_api.ResourceNotFoundError as error:
                print("RESULT", error)
        """,
    )
    assert results == [
        "False",
        "True ('fields ü', None)",
        "5 [1, None]",
        "5 1 None",
        "[1, {'two': 2}]",
        "InvalidInputError",
        "InvalidInputError",
        "TypeError",
        "there is no setting 'fields ü'; save it first",
    ]


def test_settings_are_listed_page_by_page_with_a_filter(platform: Platform) -> None:
    results = run_and_get(
        platform,
        """
        import flow_api

        def handler(system, this):
            for i in range(105):
                system.setting(f"page-{i:03}").save(i)
            found = [s.name for s in system.settings(filter={"field": "name", "op": "like", "value": "page-%"})]
            print("RESULT", len(found), found[0], found[-1])
            few = system.settings(filter={"field": "name", "op": "in", "value": ["page-007", "page-001"]})
            print("RESULT", [setting.get() for setting in few])
            try:
                list(system.settings(filter={"field": "wings", "op": "eq", "value": 1}))
            except flow_api.InvalidInputError as error:
                print("RESULT", str(error)[:44])
        """,
    )
    assert results == ["105 page-000 page-104", "[1, 7]", "filter: there is no field 'wings'; there are"]


def test_who_waits_for_a_lock_is_served_in_the_order_of_asking(platform: Platform) -> None:
    holder = held_lock(platform, "turns")
    waiting = []
    for number in range(3):
        waiting.append(platform.run(ACQUIRING, {"lock": "turns"}, name=f"turn-{number}"))
        platform.wait_status(waiting[-1], WAITING_LOCK)
    assert locks(platform)["turns"]["waiting"] == waiting
    assert locks(platform)["turns"]["execution_id"] == holder
    assert snapctl(platform, "lock", "release", "turns").exit_code == 0
    for execution in waiting:
        assert platform.wait_ended(execution).status == SUCCESS
    order = snapctl(platform, "setting", "get", "turns-order").json
    assert order == ["turn-0", "turn-1", "turn-2"]
    assert "turns" not in locks(platform)
    platform.cancel(holder)


def test_a_lock_outlives_its_holder_until_another_execution_releases_it(platform: Platform) -> None:
    holder = held_lock(platform, "orphan")
    results = run_and_get(
        platform,
        """
        import flow_api

        def handler(system, this):
            lock = system.setting("orphan")
            for wrong in (lock.release, lambda: lock.save(1), lock.delete, lambda: lock.list_append(1)):
                try:
                    wrong()
                except flow_api.FlowsnapException as error:
                    print("RESULT", type(error).__name__)
        """,
    )
    assert results == ["PermissionDenied", "LockTimeoutError", "LockTimeoutError", "LockTimeoutError"]
    platform.cancel(holder)
    assert locks(platform)["orphan"]["execution_id"] == holder
    results = run_and_get(
        platform,
        """
        def handler(system, this):
            lock = system.setting("orphan")
            print("RESULT", lock.release(), lock.release(), lock.acquire(0).name)
        """,
    )
    assert results == ["True False orphan"]


def test_a_lock_is_handed_to_the_execution_that_is_named(platform: Platform) -> None:
    first = platform.run(ACQUIRING, {"lock": "handed"}, name="first")
    platform.wait_ended(first)
    giver = platform.run(
        """
        import time

        def handler(system, this):
            lock = system.setting("handed")
            lock.acquire()
            print("RESULT held")
            while not system.setting("heir").exists():
                time.sleep(0.05)
            print("RESULT", lock.release(to=system.setting("heir").get()))
        """
    )
    platform.wait_results(giver, 1)
    early = platform.run(ACQUIRING, {"lock": "handed"}, name="early")
    platform.wait_status(early, WAITING_LOCK)
    heir = platform.run(ACQUIRING, {"lock": "handed"}, name="heir")
    platform.wait_status(heir, WAITING_LOCK)
    assert snapctl(platform, "setting", "save", "heir", heir).exit_code == 0
    for execution in (heir, early):
        platform.wait_ended(execution)
    assert snapctl(platform, "setting", "get", "handed-order").json == ["first", "heir", "early"]


def test_a_locked_setting_times_out_with_the_holder_named(platform: Platform) -> None:
    holder = held_lock(platform, "busy")
    execution = platform.run(
        """
        def handler(system, this):
            system.setting("busy").acquire(timeout=0.2)
        """
    )
    ended = platform.wait_ended(execution)
    assert ended.status == ERROR
    assert (
        f"LockTimeoutError: 'busy' is locked by execution {holder} and was not released within 0.2 s" in ended.message
    )
    assert locks(platform)["busy"]["waiting"] == []
    refused = snapctl(platform, "setting", "save", "busy", "1")
    assert refused.exit_code == 4
    assert f"locked by execution {holder}" in refused.err
    platform.cancel(holder)


def test_a_holder_that_is_loaded_has_its_lock_at_once(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.create_dump("before")
            system.setting("again").acquire(timeout=0)
            print("RESULT", system.setting("again").get("name"))
            system.setting("again").save(1)
            print("RESULT", system.setting("again").release())
            this.sleep(3600)
        """
    )
    platform.wait_results(execution, 2)
    acquire = next(s for s in platform.savepoints(execution) if s.call == "setting_acquire")
    save = next(s for s in platform.savepoints(execution) if s.call == "setting_save")
    release = next(s for s in platform.savepoints(execution) if s.call == "setting_release")
    platform.load(execution, id=str(acquire.number))
    assert platform.wait_results(execution, 4)[2:] == ["again", "True"]
    platform.load(execution, id=str(save.number))  # it has given the lock back, and may save all the same
    assert platform.wait_results(execution, 5)[4:] == ["False"]
    other = held_lock(platform, "again")
    platform.load(execution, id=str(release.number))  # another's lock stays: this release was done before
    assert platform.wait_results(execution, 6)[5:] == ["False"]
    assert locks(platform)["again"]["execution_id"] == other
    platform.cancel(execution)
    platform.cancel(other)


def test_a_wait_that_a_load_takes_away_gives_its_place_up(platform: Platform) -> None:
    holder = held_lock(platform, "left")
    leaving = platform.run(
        """
        def handler(system, this):
            this.create_dump("before")
            if this.restored is None:
                system.setting("left").acquire()
            this.sleep(3600)
        """
    )
    platform.wait_status(leaving, WAITING_LOCK)
    platform.load(leaving, name="before")
    platform.wait_until(lambda: locks(platform)["left"]["waiting"] == [], leaving)
    assert snapctl(platform, "lock", "release", "left").exit_code == 0
    assert "left" not in locks(platform)
    platform.cancel(holder)
    platform.cancel(leaving)


def test_waits_and_their_order_survive_the_controller(own_platform: Platform) -> None:
    holder = held_lock(own_platform, "kept")
    waiting = []
    for number in range(2):
        waiting.append(own_platform.run(ACQUIRING, {"lock": "kept"}, name=f"turn-{number}"))
        own_platform.wait_status(waiting[-1], WAITING_LOCK)
    own_platform.kill_controller()
    own_platform.start()
    assert locks(own_platform)["kept"]["waiting"] == waiting
    assert locks(own_platform)["kept"]["execution_id"] == holder
    assert snapctl(own_platform, "lock", "release", "kept").exit_code == 0
    for execution in waiting:
        assert own_platform.wait_ended(execution).status == SUCCESS
    assert snapctl(own_platform, "setting", "get", "kept-order").json == ["turn-0", "turn-1"]


def test_settings_are_saved_shown_listed_and_removed_from_the_command_line(platform: Platform) -> None:
    assert snapctl(platform, "setting", "save", "cli", '{"a": [1]}').out == "cli\n"
    assert snapctl(platform, "setting", "get", "cli").json == {"a": [1]}
    assert snapctl(platform, "setting", "save", "cli", "--file", "-", stdin="[2]").exit_code == 0
    shown = snapctl(platform, "setting", "get", "cli", "-o", "json").json
    assert (shown["name"], shown["value"], shown["locked_by"]) == ("cli", [2], "")
    assert "cli" in [one["name"] for one in snapctl(platform, "setting", "ls", "-o", "json").json["settings"]]
    assert "NAME" in snapctl(platform, "setting", "ls").out
    assert snapctl(platform, "setting", "rm", "cli").exit_code == 0
    missing = snapctl(platform, "setting", "rm", "cli")
    assert (missing.exit_code, missing.err) == (3, "snapctl: there is no setting 'cli'; see `snapctl setting ls`\n")
    assert snapctl(platform, "setting", "save", "cli").exit_code == 2
    assert snapctl(platform, "lock", "release", "cli").exit_code == 3
    assert json.loads(snapctl(platform, "lock", "ls", "-o", "json").out)["locks"] is not None
