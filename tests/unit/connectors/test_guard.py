"""What all connectors have in common, and connectors that are plugged in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from controller.connectors import (
    ATTEMPTS,
    ConnectorError,
    Input,
    Inputs,
    address_of,
    connector,
    connectors,
    refused,
)
from controller.connectors.guard import SHOWN_CHARACTERS, Guard


class Faulty:
    """Fails as it is told to, so many times."""

    summary = "fails"
    inputs: ClassVar[Inputs] = {"pin": Input((str,), "a secret", secret=True), "note": Input((str,)), **ATTEMPTS}
    probe: ClassVar[Mapping[str, Any]] = {}
    repeatable = False

    def __init__(self, *errors: Exception, lasts_s: float = 0) -> None:
        self.errors = list(errors)
        self.lasts_s = lasts_s
        self.calls = 0

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        self.calls += 1
        await asyncio.sleep(self.lasts_s)
        if self.errors:
            raise self.errors.pop(0)
        return {"pin": values["pin"], "key": idempotency_key}


async def call(kind: Faulty, secret: tuple[str, ...] = (), **inputs: Any) -> dict[str, Any]:
    return await Guard("FAULTY", kind).call({"retry_backoff": 0, **inputs}, idempotency_key="k", secret=secret)


async def test_transient_failures_are_tried_again_and_others_are_not() -> None:
    kind = Faulty(refused("gone", "busy", transient=True), refused("gone", transient=True))
    assert await call(kind, pin="1", retries=2) == {"pin": "1", "key": "k"}
    assert kind.calls == 3
    kind = Faulty(refused("no"), refused("no"))
    with pytest.raises(ConnectorError, match=r"^FAULTY: no$"):
        await call(kind, retries=5)
    assert kind.calls == 1


async def test_attempts_are_counted_before_the_words_when_all_of_them_fail() -> None:
    kind = Faulty(*[refused("gone", "busy", transient=True) for _ in range(2)])
    with pytest.raises(ConnectorError) as caught:
        await call(kind, retries=1)
    assert str(caught.value) == "FAULTY: gone (after 2 attempts): busy"


async def test_secrets_are_hidden_before_the_words_are_cut() -> None:
    words = "x" * (SHOWN_CHARACTERS - 4) + "12345678" + "kept by the connection"
    with pytest.raises(ConnectorError) as caught:
        await call(Faulty(refused("for 12345678", words)), pin="12345678", note="kept by the connection")
    assert "1234" not in str(caught.value)
    with pytest.raises(ConnectorError) as caught:
        await call(Faulty(refused("said hidden-note")), ("note",), note="hidden-note")
    assert str(caught.value) == "FAULTY: said ********"


async def test_neither_error_nor_log_has_the_secret_when_a_connector_has_a_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ConnectorError, match=r"unforeseen failure: KeyError: '[*]{8}'") as caught:
        await call(Faulty(KeyError("hush-hush")), pin="hush-hush")
    assert caught.value.error_type == "ConnectorError"
    assert "KeyError" in caplog.text
    assert "hush-hush" not in caplog.text


async def test_extra_is_named_when_its_library_is_missing() -> None:
    with pytest.raises(ConnectorError, match=r"Python package zeep is not installed .* 'flowsnap\[connectors\]'"):
        await call(Faulty(ModuleNotFoundError("No module named 'zeep'", name="zeep")))


async def test_limit_is_named_when_a_connector_does_not_keep_it_itself() -> None:
    with pytest.raises(ConnectorError, match=r"not done within 0.01 s; the input timeout"):
        await call(Faulty(lasts_s=30), timeout=0.01)


async def test_plug_in_is_for_operators_connections_when_it_does_not_say_where_it_leads() -> None:
    with pytest.raises(ConnectorError, match=r"connection: snapctl connection save NAME --type FAULTY$") as caught:
        await Guard("FAULTY", Faulty()).call({}, idempotency_key="k", led_by_flow=True)
    assert caught.value.error_type == "PermissionDenied"


async def test_judged_addresses_are_known_to_a_plug_in_when_it_says_where_it_leads() -> None:
    class Leading(Faulty):
        def hosts(self, values: dict[str, Any]) -> list[str]:
            return [values["note"]]

        async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
            return {"to": await asyncio.to_thread(address_of, values["note"])}

    guard = Guard("FAULTY", Leading())
    led = await guard.call({"note": "3405803777"}, idempotency_key="k", led_by_flow=True)
    assert led == {"to": "203.0.113.1"}
    assert await guard.call({"note": "3405803777"}, idempotency_key="k") == {"to": "3405803777"}
    with pytest.raises(ConnectorError, match="own host or link"):
        await guard.call({"note": "localhost"}, idempotency_key="k", led_by_flow=True)


def test_part_of_the_inputs_is_enough_when_a_connection_is_checked() -> None:
    guard = connector("SSH")
    guard.check({"username": "ann"})
    with pytest.raises(ConnectorError, match="SSH: unknown input usrname") as caught:
        guard.check({"usrname": "ann"})
    assert caught.value.error_type == "ExtraInputError"


def test_libraries_are_not_imported_when_all_types_are_described() -> None:
    import subprocess

    program = (
        "import sys\nfrom controller.connectors import connectors\n"
        "for make in connectors().values():\n    made = make()\n    assert made.summary and made.inputs\n"
        "    assert all(declared.help for declared in made.inputs.values()), made.inputs\n"
        "heavy = {'asyncssh', 'aiosmtplib', 'boto3', 'defusedxml', 'ldap3', 'psycopg', 'pymysql', 'redis', 'zeep'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture
def plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with an installed package's metadata and module."""
    (tmp_path / "faxes.py").write_text(
        "from controller.connectors import Input\n\n\nclass Fax:\n    summary = 'A fax'\n    probe = {}\n"
        "    repeatable = False\n    inputs = {'number': Input((str,), 'whom', required=True)}\n\n"
        "    async def run(self, values, *, idempotency_key):\n        return {'sent': values['number']}\n"
    )
    metadata = tmp_path / "faxes-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faxes\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[flowsnap.connectors]\nFAX = faxes:Fax\nTELEX = faxes:Telex\nREST = faxes:Fax\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


async def test_connector_is_there_when_a_package_plugs_it_in(plug_ins: Path) -> None:
    assert await connector("FAX").call({"number": "1"}, idempotency_key="k") == {"sent": "1"}
    with pytest.raises(ConnectorError, match="FAX: input number is required"):
        await connector("FAX").call({}, idempotency_key="k")


def test_built_in_connector_stays_when_a_plug_in_has_its_name(plug_ins: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert connectors()["REST"]().summary == "An HTTP request"
    assert "faxes:Fax is left out" in caplog.text


def test_package_is_named_when_a_plug_in_can_not_be_loaded(plug_ins: Path) -> None:
    with pytest.raises(ConnectorError, match=r"plug-in faxes:Telex of connection type TELEX can't be loaded"):
        connector("TELEX")
