"""The XMLRPC connector: one call of a method by XML-RPC."""

from __future__ import annotations

import datetime as dt
import math
import xmlrpc.client
from typing import Any, ClassVar

import httpx

from controller.connectors.contents import in_base64, to_bytes
from controller.connectors.errors import invalid, refused
from controller.connectors.http import exchange, header_texts, host_of, usable_url
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login


class XmlrpcConnector:
    """Output: result. Times come in ISO 8601, bytes as {"base64": "..."}, which is taken for bytes in args too.

    A fault is an error with its number and text.
    """

    summary = "A call by XML-RPC"
    inputs: ClassVar[Inputs] = {
        "url": Input((str,), "address of the service", required=True, place=True),
        "method": Input((str,), "name of the method", required=True),
        "args": Input((list,), "its arguments", default=[]),
        **login(username="user name for basic authentication"),
        "headers": Input((dict,), "an object of texts", default={}),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"method": "system.listMethods", "args": []}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [host_of(values["url"])]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """The key goes as the header Idempotency-Key."""
        headers = httpx.Headers(header_texts(values["headers"]))
        headers["Content-Type"] = "text/xml; charset=utf-8"
        headers.setdefault("Idempotency-Key", idempotency_key)
        try:
            arguments = tuple(_to_wire(value) for value in values["args"])
            content = xmlrpc.client.dumps(arguments, values["method"], encoding="utf-8", allow_none=True)
        except (TypeError, OverflowError) as error:
            raise invalid(f"input args can't be sent by XML-RPC: {error}") from error
        url = usable_url(values["url"])
        where = f"{url}: {values['method']}"
        auth = None
        if values["username"] is not None:
            auth = httpx.BasicAuth(values["username"], values["password"] or "")
        request = {"method": "POST", "url": url, "headers": headers, "content": content.encode()}
        response, body = await exchange(
            request, where, auth=auth, timeout_s=values["timeout"], verify=values["verify_ssl"]
        )
        if not response.is_success:
            status = f"{response.status_code} {response.reason_phrase}".strip()
            transient = response.status_code == httpx.codes.SERVICE_UNAVAILABLE
            raise refused(f"{where}: status {status}", body.decode("utf-8", "replace").strip(), transient=transient)
        return {"result": _result(where, body)}


def _result(where: str, body: bytes) -> Any:
    from xml.parsers.expat import ExpatError

    from defusedxml import DefusedXmlException
    from defusedxml.xmlrpc import DefusedExpatParser

    unmarshaller = xmlrpc.client.Unmarshaller(use_datetime=True)
    parser = DefusedExpatParser(unmarshaller)
    try:
        parser.feed(body)
        parser.close()
        values = unmarshaller.close()
    except xmlrpc.client.Fault as fault:
        raise refused(f"{where}: fault {fault.faultCode}", str(fault.faultString)) from fault
    except (ExpatError, DefusedXmlException, xmlrpc.client.Error, ValueError) as error:
        raise refused(f"{where}: the response is no XML-RPC that can be read", str(error)) from error
    return _from_wire(values[0]) if values else None


def _to_wire(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"base64"}:
            return xmlrpc.client.Binary(to_bytes(value, "args"))
        return {name: _to_wire(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_wire(item) for item in value]
    return value


def _from_wire(value: Any) -> Any:
    if isinstance(value, xmlrpc.client.Binary):
        return in_base64(value.data)
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _from_wire(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_from_wire(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
