"""Messages: sent by flows, answered once by people, checked against their form."""

from __future__ import annotations

from command_line import snapctl
from flowsnap.v1 import types_pb2
from platform_under_test import ERROR, SUCCESS, Platform

WAITING_MESSAGE = types_pb2.EXECUTION_STATUS_WAITING_MESSAGE

FORM = """
    def handler(system, this):
        message = system.message(
            subject="How many? ü",
            body={
                "type": "object",
                "properties": {
                    "count": {"label": "how many", "type": "integer", "minimum": 1},
                    "why": {"type": "string"},
                },
                "required": ["count"],
            },
        )
        print("RESULT", message.id)
        message.wait()
        print("RESULT", message.get("response")["count"], message.get("status", "answered_by"))
        this.sleep(3600)
    """


def test_a_form_is_answered_once_by_what_meets_it(platform: Platform) -> None:
    execution = platform.run(FORM)
    message = platform.wait_results(execution, 1)[0]
    platform.wait_status(execution, WAITING_MESSAGE)
    listed = snapctl(platform, "message", "ls", "-o", "json").json["messages"]
    assert [one["subject"] for one in listed if one["id"] == message] == ["How many? ü"]
    assert "count (integer, required): how many" in snapctl(platform, "message", "show", message).out
    wrong = snapctl(platform, "message", "answer", message, "-v", "count=0")
    assert wrong.exit_code == 2
    assert "$.count: 0 is less than the minimum of 1" in wrong.err
    missing = snapctl(platform, "message", "answer", message)
    assert "'count' is a required property" in missing.err
    assert snapctl(platform, "message", "answer", message, "-v", "count=3", "--by", "Ada").out == f"{message}\n"
    assert platform.wait_results(execution, 2)[1] == "3 ('ANSWERED', 'Ada')"
    again = snapctl(platform, "message", "answer", message, "-v", "count=4")
    assert again.exit_code == 4
    assert "was answered by Ada" in again.err
    assert message not in snapctl(platform, "message", "ls").out
    shown = snapctl(platform, "message", "show", message, "-o", "json").json
    assert (shown["response"], shown["answered_by"], shown["execution_id"]) == ({"count": 3}, "Ada", execution)
    assert snapctl(platform, "message", "rm", message).exit_code == 0
    assert snapctl(platform, "message", "show", message).exit_code == 3
    platform.cancel(execution)


def test_a_text_is_acknowledged_and_a_request_answered_with_a_string(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            text = system.message(subject="For you", message="# Done")
            asked = system.message("Name?", request="Your name")
            print("RESULT", text.id, asked.id)
            print("RESULT", text.wait().get("response"), asked.wait().get("response")["string"])
        """
    )
    text, asked = platform.wait_results(execution, 1)[0].split()
    assert "# Done" in snapctl(platform, "message", "show", text).out
    assert snapctl(platform, "message", "answer", asked, "--json", "-", stdin='{"string": "Ada"}').exit_code == 0
    assert snapctl(platform, "message", "answer", text).exit_code == 0
    assert platform.wait_ended(execution).status == SUCCESS
    assert platform.results(execution)[1] == "{} Ada"


def test_a_message_nobody_answers_times_out_and_stays_open(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            message = system.message(subject="Anybody?", message="there?")
            print("RESULT", message.id)
            message.wait(timeout=0.2)
        """
    )
    ended = platform.wait_ended(execution)
    message = platform.results(execution)[0]
    assert ended.status == ERROR
    assert f"MessageResponseTimeoutError: nobody answered message {message} within 0.2 s" in ended.message
    assert snapctl(platform, "message", "answer", message).exit_code == 0


def test_bad_messages_are_refused_with_the_words(platform: Platform) -> None:
    execution = platform.run(
        """
        import flow_api

        def handler(system, this):
            for wrong in (
                {"body": {"type": "string"}},
                {"body": {"type": "object", "properties": {"a": {"type": "wings"}}}},
                {},
                {"message": "a", "request": "b"},
                {"message": "a", "subject": ""},
            ):
                try:
                    system.message(**{"subject": "s", **wrong})
                except flow_api.FlowsnapException as error:
                    print("RESULT", type(error).__name__, str(error).partition(":")[2][:20])
            remote = system.message("remote", body={"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}})
            print("RESULT", remote.id)
            try:
                remote.wait()
            except flow_api.ResourceNotFoundError:
                print("RESULT gone")
        """
    )
    platform.wait_results(execution, 6)
    remote = platform.results(execution)[5]
    refused = snapctl(platform, "message", "answer", remote, "-v", "a=1")
    assert refused.exit_code == 2
    assert "its form refers to what is not in it" in refused.err
    platform.wait_status(execution, WAITING_MESSAGE)
    snapctl(platform, "message", "rm", remote)
    assert platform.wait_ended(execution).status == SUCCESS
    names = [result.split()[0] for result in platform.results(execution)]
    assert names[:5] == ["InvalidInputError"] * 2 + ["MissingInputError", "ExtraInputError", "InvalidInputError"]
    assert names[6] == "gone"


def test_a_form_that_takes_for_ever_is_refused_and_holds_nobody_up(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            hostile = {"properties": {"a": {"type": "string", "pattern": "^(a|a)*$"}}}
            message = system.message("hostile", body=hostile)
            print("RESULT", message.id)
            message.wait()
        """
    )
    message = platform.wait_results(execution, 1)[0]
    refused = snapctl(platform, "message", "answer", message, "-v", f"a={'a' * 60}!")
    assert refused.exit_code == 2
    assert f"message {message}: its form takes more than 5 s of processor time" in refused.err
    assert snapctl(platform, "message", "answer", message, "-v", "a=aaa").exit_code == 0
    assert platform.wait_ended(execution).status == SUCCESS


def test_a_load_leaves_messages_as_they_are(platform: Platform) -> None:
    execution = platform.run(FORM)
    message = platform.wait_results(execution, 1)[0]
    snapctl(platform, "message", "answer", message, "-v", "count=1")
    platform.wait_results(execution, 2)
    wait, send = (
        next(s for s in platform.savepoints(execution) if s.call == call) for call in ("message_wait", "message_send")
    )
    platform.load(execution, id=str(wait.number))
    assert platform.wait_results(execution, 3)[2].startswith("1 ")
    platform.load(execution, id=str(send.number))
    another = platform.wait_results(execution, 4)[3]
    assert another != message
    platform.wait_status(execution, WAITING_MESSAGE)
    platform.cancel(execution)


def test_messages_are_listed_newest_first_with_a_filter(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            sent = [system.message("listed", message=str(i)).id for i in range(3)]
            me = {"field": "execution_id", "op": "eq", "value": this.get("id")}
            print("RESULT", [message.id for message in system.messages(filter=me)] == sent[::-1])
            unanswered = system.messages({"field": "status", "op": "eq", "value": "OPEN"})
            print("RESULT", all(message.get("status") == "OPEN" for message in unanswered))
        """
    )
    assert platform.wait_ended(execution).status == SUCCESS
    assert platform.results(execution) == ["True", "True"]


def test_a_wait_survives_the_controller(own_platform: Platform) -> None:
    execution = own_platform.run(FORM)
    message = own_platform.wait_results(execution, 1)[0]
    own_platform.wait_status(execution, WAITING_MESSAGE)
    own_platform.kill_controller()
    own_platform.start()
    assert snapctl(own_platform, "message", "answer", message, "-v", "count=7", "--by", "Ada").exit_code == 0
    assert own_platform.wait_results(execution, 2)[1] == "7 ('ANSWERED', 'Ada')"
