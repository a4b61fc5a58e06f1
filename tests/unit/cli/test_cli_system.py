"""connection, info, gc, completion."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from flowsnap.v1 import control_pb2, platform_pb2, types_pb2


def test_the_value_is_assembled_when_a_connection_is_saved(controller, snapctl, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"token": "s3cret", "timeout": 1}')
    result = snapctl(
        "connection",
        "save",
        "api",
        "--type",
        "REST",
        "-v",
        "url=http://x",
        "-v",
        "timeout=5",
        "--value-file",
        str(secret),
    )
    assert (result.exit_code, result.out) == (0, "api\n")
    saved = controller.requests_of("SaveConnection")[0].connection
    assert (saved.name, saved.connector_type) == ("api", "REST")
    assert json.loads(saved.value_json) == {"token": "s3cret", "timeout": 5, "url": "http://x"}


def test_connections_are_listed_and_removed_when_they_are_named(controller, snapctl):
    api = types_pb2.Connection(name="api", connector_type="REST", value_json=b'{"token": "***"}')
    controller.answer("ListConnections", control_pb2.ListConnectionsResponse(connections=[api]))
    assert '{"token": "***"}' in snapctl("connection", "ls").out
    assert snapctl("connection", "ls", "-o", "json").json["connections"][0]["value"] == {"token": "***"}
    assert snapctl("connection", "rm", "api").exit_code == 0
    assert controller.requests_of("DeleteConnection")[0].name == "api"


def test_sizes_are_bytes_in_json_and_human_in_text_when_info_is_printed(controller, snapctl):
    controller.answer("GetSystemInfo", control_pb2.GetSystemInfoResponse(version="1", store_bytes=5 * 2**30, pid=7))
    assert "5.0 GiB" in snapctl("info").out
    assert snapctl("info", "-o", "json").json["store_bytes"] == 5 * 2**30


def test_each_host_is_a_row_when_info_is_printed(controller, snapctl):
    ready = control_pb2.Host(
        name="north",
        address="tcp://north:2376",
        state=control_pb2.HOST_STATE_READY,
        kernel="6.12.9",
        architecture="aarch64",
        cpus=8,
        memory_bytes=64 * 2**30,
        engine_version="26.1.5",
        containers=5,
        executions=3,
    )
    away = control_pb2.Host(name="south", address="tcp://south:2376", state=control_pb2.HOST_STATE_AWAY, problem="no!")
    controller.answer("GetSystemInfo", control_pb2.GetSystemInfoResponse(version="1", hosts=[ready, away]))
    told = snapctl("info")
    rows = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "north READY tcp://north:2376 26.1.5 6.12.9 aarch64 8 64.0 GiB 5 3" in rows
    assert "south AWAY tcp://south:2376 - - - - - - -" in rows
    assert "south: no!" in told.err
    assert controller.requests_of("GetSystemInfo")[0].with_hosts
    [first, second] = snapctl("info", "-o", "json").json["hosts"]
    assert (first["state"], first["cpus"], first["memory_bytes"]) == ("READY", 8, 64 * 2**30)
    assert (second["state"], second["problem"]) == ("AWAY", "no!")


def test_what_was_removed_is_told_when_garbage_is_collected(controller, snapctl):
    controller.answer("CollectGarbage", control_pb2.CollectGarbageResponse(removed_packs=2, removed_bytes=2048))
    assert snapctl("gc").out == "freed 2.0 KiB in 2 packs\n"
    assert snapctl("gc", "--dry-run").out == "would free 2.0 KiB in 2 packs\n"
    assert controller.requests_of("CollectGarbage")[1].dry_run


def complete(snapctl_process, words: str) -> list[str]:
    env = {"_SNAPCTL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return snapctl_process(env=env).out.split()


def test_names_and_ids_are_offered_when_an_execution_is_completed(controller, snapctl_process, data_dir):
    both = [types_pb2.Execution(id="aa11", name="aaron"), types_pb2.Execution(id="bb22", name="berta")]
    controller.answer("ListExecutions", control_pb2.ListExecutionsResponse(executions=both))
    assert complete(snapctl_process, f"snapctl --data-dir {data_dir} show a") == ["aaron", "aa11"]


def test_savepoint_names_are_offered_when_a_load_is_completed(controller, snapctl_process, data_dir):
    found = [types_pb2.Savepoint(number=number, name=name) for number, name in ((1, "x"), (2, "fetched"), (3, ""))]
    controller.answer("ListSavepoints", control_pb2.ListSavepointsResponse(savepoints=found))
    words = f"snapctl --data-dir {data_dir} load e1"
    assert complete(snapctl_process, f"{words} --name ") == ["fetched", "x"]
    assert complete(snapctl_process, f"{words} --id ") == ["3", "2", "1"]


NAMED = {
    "setting get": ("ListSettings", platform_pb2.ListSettingsResponse(settings=[platform_pb2.Setting(name="alpha")])),
    "file get": ("ListFiles", platform_pb2.ListFilesResponse(files=[platform_pb2.File(name="alpha")])),
    "lock release": ("ListLocks", platform_pb2.ListLocksResponse(locks=[platform_pb2.Lock(name="alpha")])),
    "message answer": ("ListMessages", platform_pb2.ListMessagesResponse(messages=[platform_pb2.Message(id="alpha")])),
    "schedule run-now": (
        "ListSchedules",
        platform_pb2.ListSchedulesResponse(schedules=[platform_pb2.Schedule(name="alpha")]),
    ),
    "webhook rm": ("ListWebhooks", platform_pb2.ListWebhooksResponse(webhooks=[platform_pb2.Webhook(name="alpha")])),
    "flow show": ("ListFlows", control_pb2.ListFlowsResponse(flows=[types_pb2.Flow(name="alpha")])),
    "schedule save x --flow": ("ListFlows", control_pb2.ListFlowsResponse(flows=[types_pb2.Flow(name="alpha")])),
    "connection show": (
        "ListConnections",
        control_pb2.ListConnectionsResponse(connections=[types_pb2.Connection(name="alpha")]),
    ),
}


@pytest.mark.parametrize("words", NAMED)
def test_names_are_offered_when_a_noun_is_completed(controller, snapctl_process, data_dir, words):
    controller.answer(*NAMED[words])
    assert complete(snapctl_process, f"snapctl --data-dir {data_dir} {words} al") == ["alpha"]
    assert complete(snapctl_process, f"snapctl --data-dir {data_dir} {words} z") == []


def test_types_and_statuses_are_offered_when_an_option_is_completed(controller, snapctl_process, data_dir):
    types = [types_pb2.ConnectorType(name=name) for name in ("SMTP", "SSH", "REST")]
    controller.answer("ListConnectorTypes", control_pb2.ListConnectorTypesResponse(types=types))
    words = f"snapctl --data-dir {data_dir}"
    assert complete(snapctl_process, f"{words} connection save x --type S") == ["SMTP", "SSH"]
    assert complete(snapctl_process, f"{words} connection types R") == ["REST"]
    assert complete(snapctl_process, f"{words} ls --status ended_") == [
        *("ended_success", "ended_error", "ended_cancelled"),
    ]


def test_nothing_is_offered_when_no_controller_runs(snapctl_process, data_dir):
    assert complete(snapctl_process, f"snapctl --data-dir {data_dir} show ") == []
    assert complete(snapctl_process, f"snapctl --data-dir {data_dir} setting get ") == []


@pytest.mark.parametrize(
    "words",
    [
        "-o json setting rm a",
        "--output=json setting rm a",
        "setting -o json rm a",
        "setting rm -o json a",
        "setting rm a -o json",
    ],
)
def test_json_is_asked_for_anywhere_on_the_line(controller, snapctl, words):
    assert snapctl(*words.split()).json == {"name": "a"}
    assert [request.name for request in controller.requests_of("DeleteSetting")] == ["a"]


def test_an_option_of_the_command_behind_dashes_is_left_to_it(controller, snapctl):
    assert snapctl("-o", "json", "run", "--", "tool", "-o", "json").exit_code == 0
    (request,) = controller.requests_of("CreateExecution")
    assert '["tool", "-o", "json"]' in request.script


def test_neither_grpc_nor_rich_is_imported_when_help_is_printed():
    program = (
        "import sys\nfrom controller.cli.main import run\nrun(['--help'])\nrun(['load', '--help'])\n"
        "heavy = {'grpc', 'rich', 'google.protobuf', 'docker', 'asyncio'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_the_named_commands_module_is_imported_when_a_command_runs():
    program = (
        "import sys\nfrom controller.cli.main import run\nrun(['info', '--help'])\n"
        "loaded = [name for name in sys.modules if name.startswith('controller.cli.commands.')]\n"
        "assert loaded == ['controller.cli.commands.system'], loaded"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
