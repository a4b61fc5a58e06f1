"""connection save, show, test, types, rotate-key."""

from __future__ import annotations

import json

import pytest
from flowsnap.v1 import control_pb2, types_pb2


def test_secrets_come_from_text_file_and_standard_input_when_a_connection_is_saved(controller, snapctl, tmp_path):
    key = tmp_path / "key"
    key.write_text("line 1\nline 2\n")
    arguments = ["--secret", "password=5", "--secret", f"key=@{key}"]
    result = snapctl("connection", "save", "host", "--type", "SSH", "-v", "port=22", *arguments)
    assert (result.exit_code, result.out) == (0, "host\n")
    saved = controller.requests_of("SaveConnection")[0].connection
    assert json.loads(saved.value_json) == {"port": 22}
    # A secret is text, whatever it looks like.
    assert json.loads(saved.secrets_json) == {"password": "5", "key": "line 1\nline 2"}


@pytest.mark.parametrize("secret", ["hush-hush", "=hush-hush"])
def test_secret_is_not_repeated_when_it_was_written_wrongly(snapctl, secret):
    result = snapctl("connection", "save", "x", "--type", "SSH", "--secret", secret)
    assert result.exit_code == 2
    assert "--secret is not KEY=TEXT" in result.err
    assert "hush" not in result.err


def test_file_is_named_when_a_secrets_file_is_missing(snapctl, tmp_path):
    result = snapctl("connection", "save", "x", "--type", "SSH", "--secret", f"key=@{tmp_path}/none")
    assert result.exit_code == 2
    assert f"{tmp_path}/none can't be read" in result.err


def test_value_and_masked_secrets_are_shown_together(controller, snapctl):
    one = types_pb2.Connection(
        name="host", connector_type="SSH", value_json=b'{"port": 22}', secrets_json=b'{"key": "********"}'
    )
    controller.answer("GetConnection", control_pb2.GetConnectionResponse(connection=one))
    assert snapctl("connection", "show", "host").out.split() == [
        "name:",
        "host",
        "type:",
        "SSH",
        "saved",
        "by:",
        "operator",
        "port:",
        "22",
        "key:",
        "********",
    ]
    document = snapctl("connection", "show", "host", "-o", "json").json
    assert (document["value"], document["secrets"]) == ({"port": 22}, {"key": "********"})


def test_execution_is_named_when_it_saved_a_connection(controller, snapctl):
    saved = types_pb2.Connection(name="host", connector_type="SSH", value_json=b"{}", saved_by="e5" * 13)
    controller.answer("ListConnections", control_pb2.ListConnectionsResponse(connections=[saved]))
    assert snapctl("connection", "ls").out.splitlines()[1].split() == ["host", "SSH", "e5" * 13, "{}"]
    assert snapctl("connection", "ls", "-o", "json").json["connections"][0]["saved_by"] == "e5" * 13


def test_duration_is_told_when_a_connection_works(controller, snapctl):
    controller.answer("TestConnection", control_pb2.TestConnectionResponse(duration_us=7900))
    assert snapctl("connection", "test", "host").out == "host works (7.9 ms)\n"


def test_inputs_are_listed_when_a_type_is_named(controller, snapctl):
    host = types_pb2.ConnectorInput(name="host", type="a text", required=True, place=True, help="the server")
    password = types_pb2.ConnectorInput(name="password", type="a text", secret=True, help="password")
    mode = types_pb2.ConnectorInput(name="tls", type="a text", default_json=b'"off"', choices=["on", "off"], help="how")
    ssh = types_pb2.ConnectorType(name="SSH", summary="A script", inputs=[host, password, mode])
    controller.answer("ListConnectorTypes", control_pb2.ListConnectorTypesResponse(types=[ssh]))
    assert snapctl("connection", "types").out.splitlines()[1].split() == ["SSH", "A", "script"]
    lines = [line.split() for line in snapctl("connection", "types", "ssh").out.splitlines()[3:]]
    assert lines == [
        ["host", "a", "text", "required", "place:", "the", "server"],
        ["password", "a", "text", "secret:", "password"],
        ["tls", "a", "text", "off", "how", "(on,", "off)"],
    ]
    assert snapctl("connection", "types", "SSH", "-o", "json").json["inputs"][2]["default"] == "off"
    unknown = snapctl("connection", "types", "FAX")
    assert (unknown.exit_code, "there are SSH" in unknown.err) == (3, True)


def test_number_is_told_when_the_key_was_rotated(controller, snapctl):
    controller.answer("RotateSecretsKey", control_pb2.RotateSecretsKeyResponse(connections=2))
    assert snapctl("connection", "rotate-key").out.startswith("secrets of 2 connections encrypted")
