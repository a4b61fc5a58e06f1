"""SOAP and XMLRPC on servers made of the standard library."""

from __future__ import annotations

import datetime as dt
import threading
import xmlrpc.client
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xmlrpc.server import SimpleXMLRPCServer

import pytest
from connector_servers import HOST, call, free_port, refusal

WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:x="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:sums" targetNamespace="urn:sums" name="Sums">
  <types><x:schema targetNamespace="urn:sums" elementFormDefault="qualified">
    <x:element name="Add"><x:complexType><x:sequence>
      <x:element name="a" type="x:int"/><x:element name="b" type="x:decimal"/>
    </x:sequence></x:complexType></x:element>
    <x:element name="AddResponse"><x:complexType><x:sequence>
      <x:element name="sum" type="x:decimal"/><x:element name="at" type="x:date"/>
    </x:sequence></x:complexType></x:element>
  </x:schema></types>
  <message name="in"><part name="p" element="t:Add"/></message>
  <message name="out"><part name="p" element="t:AddResponse"/></message>
  <portType name="SumsType"><operation name="Add">
    <input message="t:in"/><output message="t:out"/></operation></portType>
  <binding name="SumsBinding" type="t:SumsType">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Add"><soap:operation soapAction="Add"/>
      <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>
  </binding>
  <service name="Sums"><port name="Sums" binding="t:SumsBinding"><soap:address location="ADDRESS"/></port></service>
</definitions>"""
ENVELOPE = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{}</e:Body></e:Envelope>'


class SoapHandler(BaseHTTPRequestHandler):
    """Answers 1 + 2.5, and a fault to what has a 13 in it."""

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.answer(200, WSDL.replace("ADDRESS", f"http://{HOST}:{self.server.server_address[1]}/"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if ">13<" in body:
            fault = "<e:Fault><faultcode>e:Client</faultcode><faultstring>unlucky</faultstring></e:Fault>"
            self.answer(500, ENVELOPE.format(fault))
        else:
            answer = '<AddResponse xmlns="urn:sums"><sum>3.5</sum><at>2024-02-29</at></AddResponse>'
            self.answer(200, ENVELOPE.format(answer))

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def served(server: Any) -> Iterator[str]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://{HOST}:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def soap() -> Iterator[str]:
    yield from served(ThreadingHTTPServer((HOST, 0), SoapHandler))


@pytest.fixture
def xmlrpc_server() -> Iterator[str]:
    def fail() -> None:
        raise ValueError("unlucky")

    server = SimpleXMLRPCServer((HOST, 0), logRequests=False, allow_none=True, use_builtin_types=True)
    server.register_introspection_functions()
    server.register_function(lambda *values: list(values), "echo")
    server.register_function(lambda: dt.datetime(2024, 2, 29, 1, 2, 3), "at")  # noqa: DTZ001
    server.register_function(fail, "fail")
    yield from served(server)


async def test_result_comes_when_an_operation_is_called(soap: str) -> None:
    assert await call("SOAP", wsdl=soap) == {"operations": ["Add"]}
    output = await call("SOAP", wsdl=soap, operation="Add", args={"a": 1, "b": 2.5})
    assert output == {"result": {"sum": 3.5, "at": "2024-02-29"}}


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"operation": "Sub"}, "InvalidInputError", "it has Add"),
        ({"operation": "Add", "args": {"c": 1}}, "InvalidInputError", "does not fit Add"),
        ({"operation": "Add", "args": {"a": 13, "b": 1}}, "ConnectorError", "fault e:Client: unlucky"),
        ({"wsdl": "/etc/hostname"}, "InvalidInputError", "http://"),
    ],
)
async def test_what_is_wrong_is_named_when_soap_refuses(
    soap: str, inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("SOAP", **{"wsdl": soap, **inputs})
    assert (found, words in message) == (kind, True), message


async def test_values_come_back_when_a_method_echoes_them(xmlrpc_server: str) -> None:
    values = ["ü", 1, 2.5, True, None, [1], {"a": {"base64": "AP8="}}]
    assert (await call("XMLRPC", url=xmlrpc_server, method="echo", args=values))["result"] == values
    assert (await call("XMLRPC", url=xmlrpc_server, method="at"))["result"] == "2024-02-29T01:02:03"


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"method": "fail"}, "ConnectorError", "fault 1: <class 'ValueError'>:unlucky"),
        ({"method": "echo", "args": [xmlrpc.client.MAXINT + 1]}, "InvalidInputError", "XML-RPC"),
        ({}, "MissingInputError", "method is required"),
    ],
)
async def test_what_is_wrong_is_named_when_xmlrpc_refuses(
    xmlrpc_server: str, inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("XMLRPC", **{"url": xmlrpc_server, **inputs})
    assert (found, words in message) == (kind, True), message


@pytest.mark.parametrize(("kind", "name"), [("SOAP", "wsdl"), ("XMLRPC", "url")])
async def test_connecting_is_tried_again_when_no_service_listens(kind: str, name: str) -> None:
    inputs = {name: f"http://{HOST}:{free_port()}/", **({"method": "m"} if kind == "XMLRPC" else {})}
    assert "(after 2 attempts)" in (await refusal(kind, **inputs, retries=1, retry_backoff=0))[1]
