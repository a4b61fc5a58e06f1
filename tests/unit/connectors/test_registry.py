"""The registry of connectors, and what is kept from people's eyes."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flow_api
from controller.connectors import ConnectorError, connector, connectors
from controller.connectors.errors import extra, invalid, missing, refused
from controller.ports import Connector
from controller.redaction import mask, redact


@pytest.mark.parametrize("name", sorted(connectors()))
def test_each_type_has_a_connector_when_asked_for(name: str) -> None:
    made: Connector = connector(name)
    assert callable(made.call)


def test_known_types_are_listed_when_a_type_is_unknown() -> None:
    with pytest.raises(ConnectorError, match=r"'FAX' is unknown; known are FTP, GIT, .*REST") as caught:
        connector("FAX")
    assert caught.value.error_type == "InvalidInputError"


@pytest.mark.parametrize("error", [refused("x"), invalid("x"), missing("x"), extra("x")])
def test_each_error_names_an_exception_that_a_flow_can_catch(error: ConnectorError) -> None:
    assert issubclass(getattr(flow_api.exceptions, error.error_type), Exception)


def test_no_http_library_is_imported_when_the_registry_is() -> None:
    script = "import sys, controller.connectors; print([m for m in ('httpx', 'sqlite3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_secret_fields_are_masked_at_any_depth_when_listed() -> None:
    value = {
        "base_url": "https://ann:hush@example.com/?api_key=hush&page=1",
        "username": "ann",
        "Password": "hush",
        "password": "",
        "token": None,
        "headers": {"Authorization": "Bearer hush", "X-Api-Key": "hush", "Accept": "*/*"},
        "list": [{"client_secret": ["hush"]}, "plain"],
        "retries": 3,
    }
    assert mask(value) == {
        "base_url": "https://********@example.com/?api_key=********&page=1",
        "username": "ann",
        "Password": "********",
        "password": "",
        "token": None,
        "headers": {"Authorization": "********", "X-Api-Key": "********", "Accept": "*/*"},
        "list": [{"client_secret": "********"}, "plain"],
        "retries": 3,
    }


def test_secrets_go_from_a_message_when_they_come_back_quoted() -> None:
    inputs = {"password": "a/b c", "headers": {"authorization": "Bearer t0ken"}, "name": "visible"}
    message = "visible: a/b c, a%2Fb%20c and t0ken at http://me:pw@x/"
    assert redact(message, inputs) == "visible: ********, ******** and ******** at http://********@x/"
