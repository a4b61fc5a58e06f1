"""The SOAP connector: one operation of a service that a WSDL describes."""

from __future__ import annotations

from typing import Any, ClassVar

from controller.connectors.blocking import in_thread
from controller.connectors.errors import invalid, refused, words
from controller.connectors.http import header_texts, usable_url
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login
from controller.connectors.plain_values import plain
from controller.connectors.reach import denied


class SoapConnector:
    """Output: result of the operation, or operations, a list of their names, without one.

    A fault is an error with its code and text.
    """

    summary = "An operation of a SOAP service"
    inputs: ClassVar[Inputs] = {
        "wsdl": Input((str,), "address of the description", required=True, place=True),
        "operation": Input((str,), "name of the operation; without one the result is the list of them"),
        "args": Input((dict,), "its arguments by name", default={}),
        "service": Input((str,), "which service, where the description has several"),
        "service_port": Input((str,), "which port of the service, where it has several"),
        "address": Input((str,), "where the service is, if the description says something else", place=True),
        **login(username="user name for basic authentication"),
        "headers": Input((dict,), "HTTP headers, an object of texts", default={}),
        "soap_headers": Input((dict,), "SOAP headers by name"),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"operation": None}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """Always refused: a description leads to further ones, and to the service."""
        raise denied(f"a flow can't choose the description {values['wsdl']}, which leads to other addresses")

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """The key goes as the HTTP header Idempotency-Key."""
        return await in_thread(_run, values, idempotency_key)


def _run(values: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
    from lxml.etree import LxmlError
    from requests.exceptions import ConnectionError as Unreached
    from requests.exceptions import RequestException
    from zeep import Client
    from zeep.exceptions import Error, Fault, TransportError, ValidationError
    from zeep.helpers import serialize_object

    wsdl = usable_url(values["wsdl"])
    try:
        client = Client(wsdl, transport=_transport(values, idempotency_key))
    except Unreached as error:
        raise refused(f"{wsdl}: connecting", words(error), transient=True) from error
    except (RequestException, Error, LxmlError, ValueError, KeyError) as error:
        raise refused(f"{wsdl}: reading the description", words(error)) from error
    with client.transport.session:
        service = _service(client, values)
        operations = sorted(service._operations)  # noqa: SLF001  zeep has no other list of them
        name = values["operation"]
        if name is None:
            return {"operations": operations}
        if name not in operations:
            raise invalid(f"{wsdl} has no operation {name}; it has {', '.join(operations)}")
        try:
            answer = service[name](**values["args"], _soapheaders=values["soap_headers"])
        except (ValidationError, TypeError) as error:
            raise invalid(f"input args does not fit {name}: {error}") from error
        except Fault as error:
            raise refused(f"{wsdl}: {name}: fault {error.code or ''}".rstrip(), str(error.message)) from error
        except TransportError as error:
            raise refused(f"{wsdl}: {name}: status {error.status_code}", str(error.message)) from error
        except (RequestException, Error, LxmlError) as error:
            raise refused(f"{wsdl}: {name}", words(error)) from error
    return {"result": plain(serialize_object(answer, dict))}


def _service(client: Any, values: dict[str, Any]) -> Any:
    try:
        service = client.bind(values["service"], values["service_port"])
    except ValueError as error:
        raise invalid(f"{values['wsdl']}: {error}") from error
    if values["address"] is not None:
        service._binding_options["address"] = usable_url(values["address"])  # noqa: SLF001  documented by zeep
    return service


def _transport(values: dict[str, Any], idempotency_key: str) -> Any:
    from requests import Session
    from requests.auth import HTTPBasicAuth
    from zeep import Transport

    class HttpOnly(Transport):
        """A description may import others; none of them is a file of the controller's host."""

        def load(self, url: str) -> Any:
            return super().load(usable_url(url))  # type: ignore[no-untyped-call]

    session = Session()
    # No passwords out of the netrc of the controller's user.
    session.trust_env = False
    session.verify = values["verify_ssl"]
    session.headers.update({"Idempotency-Key": idempotency_key, **header_texts(values["headers"])})
    if values["username"] is not None:
        session.auth = HTTPBasicAuth(values["username"], values["password"] or "")
    return HttpOnly(  # type: ignore[no-untyped-call]
        session=session, timeout=values["timeout"], operation_timeout=values["timeout"]
    )
