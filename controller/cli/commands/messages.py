"""The group message: ls, show, answer, rm."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import inputs, names, options, printer, records, units
from controller.cli.errors import usage_error
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Texts and forms that executions send to people.")
app.add_typer(group, name="message")


def _all(client: Client, *, open_only: bool, timeout_s: float | None = None) -> list[platform_pb2.Message]:
    from flowsnap.v1 import platform_pb2

    found: list[platform_pb2.Message] = []
    request = platform_pb2.ListMessagesRequest(open_only=open_only)
    while True:
        page = client.call(client.messages.ListMessages, request, timeout_s=timeout_s)
        found += page.messages
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


complete_message = names.completer(
    lambda client, timeout_s: [(one.id, one.subject) for one in _all(client, open_only=False, timeout_s=timeout_s)]
)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, autocompletion=complete_message, help="The message's id.")
]


@group.command()
def ls(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Answered ones too.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """List messages that nobody answered yet, newest first."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client, open_only=not all_)
    printer.emit(output, {"messages": [_outline(one) for one in found]}, lambda: _table(found))


@group.command()
def show(ctx: typer.Context, id_: IdArgument, output: OutputOption = Output.table) -> None:
    """Show a message: what it asks for, and the answer."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = client.call(client.messages.GetMessage, platform_pb2.GetMessageRequest(id=id_)).message
    printer.emit(output, records.record(found), lambda: _fields(found))


@group.command()
def answer(
    ctx: typer.Context,
    id_: IdArgument,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", "-v", metavar="KEY=VALUE", help="A field; JSON when it parses as that. Repeatable."),
    ] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE.json", help="The response as JSON; - is standard input.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who answers; else your user's name.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Answer a message, once. Without fields: acknowledge it."""
    response: Any = {} if json_ is None else inputs.read_json(json_, "response file")
    if not isinstance(response, dict):
        raise usage_error(f"the response file {json_} does not hold a JSON object")
    response |= inputs.key_values(value or [], "--value")
    response_json = inputs.encoded(response, "the response")

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    request = platform_pb2.AnswerMessageRequest(id=id_, response_json=response_json, answered_by=by or _user())
    with connect(options.config(ctx)) as client:
        answered = client.call(client.messages.AnswerMessage, request).message
    printer.emit(output, records.record(answered), lambda: printer.result(id_))


@group.command()
def rm(ctx: typer.Context, id_: IdArgument, output: OutputOption = Output.table) -> None:
    """Remove a message; an execution that waits for its answer gets an error."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.messages.DeleteMessage, platform_pb2.DeleteMessageRequest(id=id_))
    printer.emit(output, {"id": id_}, lambda: printer.result(id_))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a user without a name, in a container for instance


def _outline(message: platform_pb2.Message) -> records.Record:
    """Without what a listing leaves out."""
    return {name: value for name, value in records.record(message).items() if name not in {"body", "response"}}


def _table(messages: Sequence[platform_pb2.Message]) -> None:
    rows = [
        (
            one.id,
            "ANSWERED" if one.HasField("answered_at") else "OPEN",
            units.ago(records.moment(one, "created_at")),
            one.execution_id,
            one.subject,
        )
        for one in messages
    ]
    columns = (
        Column("ID"),
        Column("STATUS"),
        Column("CREATED"),
        Column("EXECUTION"),
        Column("SUBJECT", flexible=True),
    )
    printer.table(columns, rows)


def _fields(message: platform_pb2.Message) -> None:
    body = records.json_value(message.body_json)
    properties = body.get("properties") if isinstance(body, dict) else None
    required = set(body.get("required") or ()) if isinstance(body, dict) else set()
    described = [
        _field(name, field if isinstance(field, dict) else {}, required=name in required)
        for name, field in (properties or {}).items()
    ]
    answered = records.moment(message, "answered_at")
    response = json.dumps(records.json_value(message.response_json), indent=2, ensure_ascii=False) if answered else ""
    printer.fields(
        [
            ("id", message.id),
            ("subject", message.subject),
            ("execution", message.execution_id),
            ("created", f"{units.ago(records.moment(message, 'created_at'))} ago"),
            ("fields", "\n".join(described)),
            ("answered", f"{units.ago(answered)} ago by {message.answered_by or 'somebody'}" if answered else "no"),
            ("response", response),
        ]
    )


def _field(name: str, field: dict[str, Any], *, required: bool) -> str:
    """Write "count (integer, required): How many?"; a text to be read is only that."""
    about = str(field.get("label") or field.get("title") or field.get("description") or "")
    if field.get("type") is None:
        return about
    kind = f"{field['type']}, required" if required else str(field["type"])
    return f"{name} ({kind}): {about}" if about else f"{name} ({kind})"
