"""The WEBDAV connector: files on a WebDAV server, such as Nextcloud's."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import httpx

from controller.connectors.contents import BINARY, CONTENT, from_bytes, to_bytes
from controller.connectors.errors import refused
from controller.connectors.http import exchange, header_texts, host_of, stays_below, usable_url
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, needed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_METHODS = {
    "get": "GET",
    "put": "PUT",
    "list": "PROPFIND",
    "delete": "DELETE",
    "mkdir": "MKCOL",
    "move": "MOVE",
    "copy": "COPY",
}
_DAV = "{DAV:}"
_PROPERTIES = (
    '<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/>'
    "<getcontenttype/><getetag/></prop></propfind>"
)


class WebdavConnector:
    """Output: content and content_type (get), entries: objects of name, path, type, size, modified, content_type and
    etag (list), otherwise nothing.
    """

    summary = "A file on a WebDAV server"
    inputs: ClassVar[Inputs] = {
        "base_url": Input((str,), "address of the folder that paths begin at", required=True, place=True),
        **login(username="user name for basic authentication"),
        "headers": Input((dict,), "an object of texts", default={}),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        "action": Input((str,), "what to do", default="get", choices=tuple(_METHODS)),
        "path": Input((str,), "the file or folder", default=""),
        "to": Input((str,), "the new path, for move and copy; what is there is replaced"),
        "content": CONTENT,
        "content_type": Input((str,), "for put", default="application/octet-stream"),
        "binary": BINARY,
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "list", "path": ""}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [host_of(values["base_url"])]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Each of the actions is the same when it is done twice, so the key goes unused."""
        del idempotency_key
        action, path = values["action"], values["path"]
        base = usable_url(values["base_url"]).rstrip("/")
        headers = httpx.Headers(header_texts(values["headers"]))
        request: dict[str, Any] = {"method": _METHODS[action], "url": _address(base, path, "path"), "headers": headers}
        match action:
            case "put":
                request["content"] = to_bytes(needed(values, "content", action), "content")
                headers["Content-Type"] = values["content_type"]
            case "list":
                request["content"] = _PROPERTIES.encode()
                headers.update({"Depth": "1", "Content-Type": "application/xml; charset=utf-8"})
            case "move" | "copy":
                headers.update({"Destination": _address(base, needed(values, "to", action), "to"), "Overwrite": "T"})
        where = f"{request['method']} {request['url']}"
        auth = None
        if values["username"] is not None:
            auth = httpx.BasicAuth(values["username"], values["password"] or "")
        response, body = await exchange(
            request, where, auth=auth, timeout_s=values["timeout"], verify=values["verify_ssl"]
        )
        if not response.is_success:
            status = f"{response.status_code} {response.reason_phrase}".strip()
            transient = httpx.codes.is_server_error(response.status_code)
            raise refused(f"{where}: status {status}", body.decode("utf-8", "replace").strip(), transient=transient)
        if action == "list":
            return {"entries": _entries(where, body, urlsplit(str(response.url)).path, urlsplit(base).path)}
        if action == "get":
            kind = response.headers.get("content-type")
            return {"content": from_bytes(body, path, binary=values["binary"]), "content_type": kind}
        return {}


def _address(base: str, path: str, name: str) -> str:
    return f"{base}/{quote(stays_below(path, name).lstrip('/'))}"


def _entries(where: str, body: bytes, asked: str, base: str) -> list[dict[str, Any]]:
    """What a multistatus response lists, but for the folder itself."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(body)
    except (ParseError, DefusedXmlException) as error:
        raise refused(f"{where}: the response is no XML that can be read", str(error)) from error
    entries = []
    for response in root.iter(f"{_DAV}response"):
        path = unquote(urlsplit(response.findtext(f"{_DAV}href", "")).path)
        if path.rstrip("/") == unquote(asked).rstrip("/"):
            continue
        entries.append(_entry(response, path, unquote(base)))
    return sorted(entries, key=lambda entry: str(entry["path"]))


def _entry(response: Element, path: str, base: str) -> dict[str, Any]:
    def text(name: str) -> str | None:
        found = response.find(f".//{_DAV}{name}")
        return None if found is None else found.text

    size, modified = text("getcontentlength"), text("getlastmodified")
    return {
        "name": path.rstrip("/").rpartition("/")[2],
        "path": path.removeprefix(base.rstrip("/")).strip("/"),
        "type": "folder" if response.find(f".//{_DAV}collection") is not None else "file",
        "size": int(size) if size and size.isdigit() else None,
        "modified": _time(modified),
        "content_type": text("getcontenttype"),
        "etag": text("getetag"),
    }


def _time(text: str | None) -> str | None:
    try:
        return None if text is None else parsedate_to_datetime(text).isoformat()
    except ValueError:
        return None
