"""/webhook/NAME: starts a flow, and answers at once, or with what the flow has to say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from controller import errors
from controller.model import Execution, Status, Webhook
from controller.values import parsed
from controller.web.requests import as_input, key_of
from controller.webhooks import Webhooks

PATH = "/webhook"

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_STATUSES: Mapping[type[errors.FlowsnapError], int] = {
    errors.InvalidArgument: 400,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.FailedPrecondition: 409,
    errors.ResourceExhausted: 413,
    errors.Unavailable: 503,
}
# They would say something else than the body that is sent.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})
_LEAST_STATUS, _GREATEST_STATUS = 200, 599

_log = logging.getLogger(__name__)


def webhook_routes(webhooks: Webhooks) -> list[Route]:
    """Their addresses."""

    async def endpoint(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            webhook = await webhooks.admitted(name, key_of(request))
            return (await answered(webhooks, webhook, await as_input(request, name)))[1]
        except errors.FlowsnapError as error:
            return JSONResponse({"error": str(error)}, _STATUSES.get(type(error), 500))

    return [Route(f"{PATH}/{{name}}", endpoint, methods=_METHODS)]


async def answered(webhooks: Webhooks, webhook: Webhook, given: dict[str, Any]) -> tuple[Execution, Response]:
    """Start its flow with the request as input; what the caller gets. Raises what starting an execution raises."""
    execution = await webhooks.start(webhook, given)
    _log.info("webhook %r: started execution %s", webhook.name, execution.id)
    if not webhook.synchronous:
        return execution, JSONResponse({"execution": execution.id}, 202)
    try:
        async with asyncio.timeout(webhook.timeout_s):
            return execution, _answer(await webhooks.ended(execution.id))
    except TimeoutError:
        words = f"the execution did not end within {webhook.timeout_s} s; it goes on"
        return execution, JSONResponse({"execution": execution.id, "error": words}, 504)


def _answer(execution: Execution) -> Response:
    """What output_value["response"] says; without one the output value itself, or how the execution failed."""
    output = parsed(execution.output_value)
    if isinstance(output, dict) and output.get("response") is not None:
        try:
            return _response(output["response"])
        except (TypeError, ValueError) as error:
            words = f"output_value['response'] is no HTTP response: {error}"
            return JSONResponse({"execution": execution.id, "error": words}, 500)
    if execution.status is not Status.ENDED_SUCCESS:
        # Not the message: a traceback is for the execution's owner.
        return JSONResponse({"execution": execution.id, "status": execution.status.value}, 500)
    return JSONResponse(output)


def _response(given: Any) -> Response:
    """From text, or {status, headers, and one of html, text, json, body}. Raises TypeError, ValueError."""
    if not isinstance(given, dict):
        return PlainTextResponse(given) if isinstance(given, str) else JSONResponse(given)
    status = given.get("status", given.get("status_code", 200))
    if isinstance(status, bool) or not isinstance(status, int) or not _LEAST_STATUS <= status <= _GREATEST_STATUS:
        raise ValueError(f"its status has to be {_LEAST_STATUS} to {_GREATEST_STATUS}, not {status!r}")
    headers = given.get("headers") or {}
    if not isinstance(headers, dict):
        raise TypeError(f"its headers have to be an object, not {type(headers).__name__}")
    kept = {str(name): str(value) for name, value in headers.items() if str(name).lower() not in _FRAMING_HEADERS}
    if any("\r" in text or "\n" in text for item in kept.items() for text in item):
        raise ValueError("its headers have line breaks")
    if "html" in given:
        return HTMLResponse(str(given["html"]), status, kept)
    if "text" in given:
        return PlainTextResponse(str(given["text"]), status, kept)
    if "json" in given:
        return JSONResponse(given["json"], status, kept)
    body = given.get("body", "")
    if isinstance(body, str):
        return PlainTextResponse(body, status, kept) if not _has_type(kept) else Response(body, status, kept)
    return JSONResponse(body, status, kept)


def _has_type(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "content-type" for name in headers)
