"""retention set, show, ls, rm; run --keep; savepoint rm; what gc says of savepoints."""

from __future__ import annotations

import grpc
import pytest
from flowsnap.v1 import control_pb2, retention_pb2, types_pb2

from controller.cli.exit_codes import ExitCode

FLOW = retention_pb2.RetentionOwner(flow="etl")
RULE = retention_pb2.KeepRule(newest=50, max_age_s=7 * 86400)
EFFECTIVE = retention_pb2.KeepRule(newest=50, one_in=100, max_age_s=7 * 86400, max_number=0, max_bytes=2 * 2**30)


@pytest.mark.parametrize(
    ("args", "owner"),
    [
        (["etl"], FLOW),
        (["--execution", "up-1"], retention_pb2.RetentionOwner(execution="up-1")),
        (["--default"], retention_pb2.RetentionOwner()),
    ],
)
def test_a_rule_is_set_for_a_flow_an_execution_or_all(controller, snapctl, args, owner):
    keys = ["newest=50", "one-in=none", "max-age=7d", "max-number=9", "max-size=2g"]
    assert snapctl("retention", "set", *args, *keys).exit_code == 0
    sent = controller.requests_of("SetRetention")[0].retention
    assert sent.owner == owner
    assert sent.rule == retention_pb2.KeepRule(
        newest=50, one_in=0, max_age_s=7 * 86400, max_number=9, max_bytes=2 * 2**30
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["newest=5"], "whose rule"),
        (["etl", "--default", "newest=5"], "whose rule"),
        (["etl"], "says nothing"),
        (["etl", "oldest=5"], "none of newest=VALUE"),
        (["etl", "newest"], "none of newest=VALUE"),
        (["etl", "newest=0"], "not a number"),
        (["etl", "newest=-3"], "not a number"),
        (["etl", "max-age=soon"], "not a duration"),
        (["etl", "max-size=2x"], "not a size"),
    ],
)
def test_a_rule_is_refused_when_it_can_not_be_read(controller, snapctl, args, words):
    refused = snapctl("retention", "set", *args)
    assert refused.exit_code == ExitCode.USAGE
    assert words in refused.err
    assert controller.requests_of("SetRetention") == []


def test_a_rule_that_was_set_is_told_as_json(controller, snapctl):
    controller.answer(
        "SetRetention",
        retention_pb2.SetRetentionResponse(retention=retention_pb2.Retention(owner=FLOW, rule=RULE)),
    )
    assert snapctl("retention", "set", "etl", "newest=50", "max-age=7d", "-o", "json").json == {
        "scope": "flow",
        "subject": "etl",
        "rule": {"newest": 50, "max-age": 604800},
    }


def test_what_is_kept_is_shown_with_the_rule_that_says_so(controller, snapctl):
    controller.answer(
        "GetRetention",
        retention_pb2.GetRetentionResponse(
            retention=retention_pb2.Retention(owner=FLOW, rule=RULE), effective=EFFECTIVE
        ),
    )
    lines = [line.split() for line in snapctl("retention", "show", "etl").out.splitlines()[1:]]
    assert lines == [
        ["newest", "50", "own", "rule"],
        ["one-in", "100", "wider", "rule"],
        ["max-age", "7d", "own", "rule"],
        ["max-number", "none", "wider", "rule"],
        ["max-size", "2.0", "GiB", "wider", "rule"],
    ]
    assert snapctl("retention", "show", "etl", "-o", "json").json == {
        "scope": "flow",
        "subject": "etl",
        "rule": {"newest": 50, "max-age": 604800},
        "effective": {"newest": 50, "one-in": 100, "max-age": 604800, "max-number": 0, "max-size": 2 * 2**30},
    }


def test_rules_are_listed_and_removed(controller, snapctl):
    listed = [retention_pb2.Retention(rule=retention_pb2.KeepRule(newest=0)), retention_pb2.Retention(owner=FLOW)]
    controller.answer("ListRetention", retention_pb2.ListRetentionResponse(retentions=listed))
    assert [line.split() for line in snapctl("retention", "ls").out.splitlines()[1:]] == [
        ["default", "newest=all"],
        ["flow", "etl"],
    ]
    assert snapctl("retention", "ls", "-o", "json").json["retentions"][1] == {
        "scope": "flow",
        "subject": "etl",
        "rule": {},
    }
    assert snapctl("retention", "rm", "etl", "-o", "json").json == {"scope": "flow", "subject": "etl"}
    assert controller.requests_of("DeleteRetention")[0].owner == FLOW
    controller.refuse("DeleteRetention", grpc.StatusCode.NOT_FOUND, "retention: the default has no rule")
    assert snapctl("retention", "rm", "--default").exit_code == ExitCode.NOT_FOUND


def test_an_execution_gets_a_rule_when_it_is_run_with_one(controller, snapctl, tmp_path):
    flow = tmp_path / "flow.py"
    flow.write_text("def handler(system, this): pass\n")
    snapctl("run", str(flow), "--keep", "newest=5", "--keep", "max-size=1g")
    snapctl("run", str(flow))
    ruled, plain = controller.requests_of("CreateExecution")
    assert ruled.keep == retention_pb2.KeepRule(newest=5, max_bytes=2**30)
    assert not plain.HasField("keep")


def test_savepoints_are_removed_by_number_id_or_name(controller, snapctl):
    removed = [types_pb2.Savepoint(number=3), types_pb2.Savepoint(number=7)]
    controller.answer("DeleteSavepoints", control_pb2.DeleteSavepointsResponse(savepoints=removed))
    assert snapctl("savepoint", "rm", "up-1", "3", "id=sp-7", "name=a=b").out.split() == ["3", "7"]
    request = controller.requests_of("DeleteSavepoints")[0]
    assert request.execution == "up-1"
    assert [(one.id, one.name) for one in request.savepoints] == [("3", ""), ("sp-7", ""), ("", "a=b")]
    assert [one["number"] for one in snapctl("savepoint", "rm", "x", "3", "-o", "json").json["savepoints"]] == [3, 7]


def test_a_collection_says_which_savepoints_went(controller, snapctl):
    removed = control_pb2.RemovedSavepoints(execution_id="aa11", execution_name="up-1", numbers=[1, 2, 3, 5, 8, 9])
    controller.answer(
        "CollectGarbage",
        control_pb2.CollectGarbageResponse(
            removed_packs=2, removed_bytes=2048, removed_savepoints=6, executions=[removed]
        ),
    )
    assert snapctl("gc", "--dry-run").out.splitlines() == [
        "up-1 (aa11): would remove 1-3, 5, 8-9",
        "would free 2.0 KiB in 2 packs, with 6 savepoints that no rule keeps",
    ]
    assert controller.requests_of("CollectGarbage")[0].dry_run
    assert snapctl("gc", "-o", "json").json["executions"][0]["numbers"] == [1, 2, 3, 5, 8, 9]
