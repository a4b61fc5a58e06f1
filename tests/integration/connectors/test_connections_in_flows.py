"""Connections as flows use them: in real containers, with real servers."""

from __future__ import annotations

import json

from connector_servers import PASSWORD, Endpoint, call, free_port
from platform_under_test import ERROR, SUCCESS, Platform


async def test_call_is_made_anew_and_nothing_else_when_its_savepoint_is_loaded(
    platform: Platform, redis_server: Endpoint
) -> None:
    key = f"count-{free_port()}"
    platform.connect("counter", "REDIS", **redis_server())
    script = f"""
        def handler(system, this):
            before = this.connect('counter', command='INCR', args=['{key}-first']).get('output_value')['result']
            after = this.connect('counter', command='INCR', args=['{key}']).get('output_value')['result']
            this.set_output(first=before, second=after)
            return this.success('done')
    """
    execution = platform.run(script)
    assert platform.wait_ended(execution).status == SUCCESS, platform.log(execution)
    assert platform.output(execution) == {"first": 1, "second": 1}
    second = next(one for one in platform.savepoints(execution) if one.line == 4)
    platform.load(execution, id=second.id)
    assert platform.wait_ended(execution).status == SUCCESS
    assert platform.output(execution) == {"first": 1, "second": 2}
    assert (await call("REDIS", **redis_server(), command="GET", args=[f"{key}-first"]))["result"] == "1"


def test_exceptions_keep_type_and_message_and_no_secret_is_seen_when_connectors_refuse(
    platform: Platform, redis_server: Endpoint
) -> None:
    platform.connect("locked", "REDIS", **{**redis_server(), "password": "wrong-and-hidden"})
    execution = platform.run("""
        import flow_api

        def handler(system, this):
            calls = [
                {'connection': 'locked', 'command': 'PING'},
                {'connection': 'locked'},
                {'connection': 'locked', 'comand': 'PING'},
                {'connection': 'locked', 'command': 5},
                {'connection': 'nowhere'},
                {'connector_type': 'FAX'},
            ]
            found = []
            for inputs in calls:
                try:
                    this.connect(**inputs)
                except flow_api.FlowsnapException as error:
                    found.append([type(error).__name__, str(error)])
            this.set_output(found=found)
            this.connect('locked', command='PING')
    """)
    ended = platform.wait_ended(execution)
    assert ended.status == ERROR
    found = platform.output(execution)["found"]
    types = [name for name, _ in found]
    assert types[1:4] == ["MissingInputError", "ExtraInputError", "InvalidInputError"], found
    assert types[4:] == ["ResourceNotFoundError"] * 2, found
    assert "logging in" in found[0][1]
    assert "WRONGPASS" in ended.message or "logging in" in ended.message
    seen = json.dumps([found, ended.message, platform.log(execution)]) + platform.controller_log()
    seen += "".join(map(str, platform.savepoints(execution)))
    assert "wrong-and-hidden" not in seen


def test_flow_keeps_a_connection_that_it_saved_and_an_operator_can_take_it_over(
    platform: Platform, redis_server: Endpoint
) -> None:
    name = f"made-{free_port()}"
    where = {key: value for key, value in redis_server().items() if key != "password"}
    execution = platform.run(f"""
        import flow_api

        def handler(system, this):
            connection = system.connection('{name}')
            there = connection.exists()
            connection.save(connection_type='REDIS', value={where!r}, secrets={{'password': '{PASSWORD}'}})
            shown = connection.get('value')
            try:
                answer = this.connect('{name}', command='PING').get('output_value')['result']
            except flow_api.PermissionDenied as error:
                answer = str(error)
            this.set_output(there=there, shown=shown, answer=answer)
    """)
    assert platform.wait_ended(execution).status == SUCCESS, platform.get(execution).message
    shown = {**where, "password": "********"}
    refused = platform.output(execution).pop("answer")
    assert refused.startswith("REDIS: 127.0.0.1 is the controller's own host or link; an operator can allow it")
    expected = {"there": False, "shown": shown, "answer": refused}
    assert platform.output(execution) == expected
    platform.load(execution, id=platform.savepoints(execution)[0].id)
    assert platform.wait_ended(execution).status == SUCCESS
    assert platform.output(execution) == {**expected, "there": True}
    platform.connect(name, "REDIS", **redis_server())
    execution = platform.run(f"""
        def handler(system, this):
            this.set_output(answer=this.connect('{name}', command='PING').get('output_value')['result'])
            system.connection('{name}').delete()
    """)
    ended = platform.wait_ended(execution)
    assert (ended.status, f"connection '{name}' is an operator's" in ended.message) == (ERROR, True), ended.message
    assert platform.output(execution) == {"answer": True}
