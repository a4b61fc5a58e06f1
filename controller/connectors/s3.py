"""The S3 connector: objects in a bucket of S3, MinIO, Ceph and others that speak its protocol."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from controller.connectors.blocking import in_thread
from controller.connectors.contents import BINARY, CONTENT, MAX_CONTENT_BYTES, from_bytes, to_bytes, too_large
from controller.connectors.errors import invalid, refused, words
from controller.connectors.http import host_of
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, needed

_BUCKET = re.compile(r"[\w.-]+")


class S3Connector:
    """Output: content, content_type, size, etag, modified and metadata (get; head without content), etag (put),
    objects: of key, size, etag and modified (list), url (presign), otherwise nothing.
    """

    summary = "Objects in an S3 bucket"
    inputs: ClassVar[Inputs] = {
        "endpoint_url": Input((str,), "address of the server; without one Amazon's", place=True),
        "region": Input((str,), "region", default="us-east-1", place=True),
        "access_key_id": Input((str,), "which access key"),
        "secret_access_key": Input((str,), "its secret", secret=True),
        "session_token": Input((str,), "of temporary credentials", secret=True),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        "action": Input(
            (str,), "what to do", default="get", choices=("get", "put", "head", "list", "delete", "copy", "presign")
        ),
        "bucket": Input((str,), "name of the bucket", required=True),
        "key": Input((str,), "name of the object"),
        "prefix": Input((str,), "list: only objects whose name begins so", default=""),
        "limit": Input((int,), "list: at most so many", default=1000, minimum=1),
        "to": Input((str,), "copy: name of the new object"),
        "content": CONTENT,
        "content_type": Input((str,), "put: the kind of content"),
        "metadata": Input((dict,), "put: an object of texts"),
        "binary": BINARY,
        "expires": Input((int,), "presign: seconds for which the address is good", default=3600, minimum=1),
        "method": Input((str,), "presign: what the address is for", default="get", choices=("get", "put")),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "list", "limit": 1}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server that was named; without one Amazon's, which no flow can lead elsewhere."""
        if not _BUCKET.fullmatch(values["bucket"]):
            # An ARN makes another host name of its parts.
            raise invalid("input bucket must be the name of a bucket")
        return [] if values["endpoint_url"] is None else [host_of(values["endpoint_url"])]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Each of the actions is the same when it is done twice, so the key goes unused."""
        del idempotency_key
        return await in_thread(_run, values)


def _run(values: dict[str, Any]) -> dict[str, Any]:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as Unreached

    where = f"{values['endpoint_url'] or 'S3'}: {values['action']} {values['bucket']}/{values['key'] or ''}"
    try:
        session = boto3.session.Session(
            aws_access_key_id=values["access_key_id"],
            aws_secret_access_key=values["secret_access_key"],
            aws_session_token=values["session_token"],
            region_name=values["region"],
        )
        client = session.client(
            "s3",
            endpoint_url=values["endpoint_url"],
            verify=values["verify_ssl"],
            config=Config(
                # Without a key as anybody, and not as whom the controller's environment names.
                signature_version=UNSIGNED if values["access_key_id"] is None else None,
                connect_timeout=values["timeout"],
                read_timeout=values["timeout"],
                retries={"total_max_attempts": 1},
                # Other servers than Amazon's are mostly reached by address, where no bucket has a name of its own.
                s3={"addressing_style": "path" if values["endpoint_url"] else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        try:
            return _carry_out(client, values)
        finally:
            client.close()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise refused(where, str(error), transient=status >= 500 or status == 429) from error  # noqa: PLR2004  of HTTP
    except (HTTPClientError, Unreached) as error:
        raise refused(where, words(error), transient=True) from error
    except (BotoCoreError, ValueError) as error:
        raise refused(where, words(error)) from error


def _carry_out(client: Any, values: dict[str, Any]) -> dict[str, Any]:
    action, bucket = values["action"], values["bucket"]
    if action == "list":
        return {"objects": _list(client, bucket, values["prefix"], values["limit"])}
    key = needed(values, "key", action)
    match action:
        case "get":
            answer = client.get_object(Bucket=bucket, Key=key)
            if answer["ContentLength"] > MAX_CONTENT_BYTES:
                answer["Body"].close()
                raise too_large(key)
            content = from_bytes(answer["Body"].read(), key, binary=values["binary"])
            return {**_described(answer), "content": content}
        case "head":
            return _described(client.head_object(Bucket=bucket, Key=key))
        case "put":
            content = to_bytes(needed(values, "content", action), "content")
            optional = {"ContentType": values["content_type"], "Metadata": values["metadata"]}
            given = {name: value for name, value in optional.items() if value is not None}
            return {"etag": client.put_object(Bucket=bucket, Key=key, Body=content, **given)["ETag"].strip('"')}
        case "copy":
            target = needed(values, "to", action)
            client.copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": key})
        case "delete":
            client.delete_object(Bucket=bucket, Key=key)
        case _:
            method = f"{values['method']}_object"
            return {"url": client.generate_presigned_url(method, {"Bucket": bucket, "Key": key}, values["expires"])}
    return {}


def _list(client: Any, bucket: str, prefix: str, limit: int) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"MaxItems": limit}
    )
    return [
        {
            "key": found["Key"],
            "size": found["Size"],
            "etag": found["ETag"].strip('"'),
            "modified": found["LastModified"].isoformat(),
        }
        for page in pages
        for found in page.get("Contents", [])
    ]


def _described(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "content_type": answer.get("ContentType"),
        "size": answer["ContentLength"],
        "etag": answer["ETag"].strip('"'),
        "modified": answer["LastModified"].isoformat(),
        "metadata": answer.get("Metadata", {}),
    }
