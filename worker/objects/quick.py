"""GET, HEAD and PUT of one object without what boto3 does around a request: a third or more of its processor time.

Every image costs one of each. What boto3 knows stays its own: address, credentials, certificates, proxies and
connections are its client's. Any answer but a plain success is left to it, so retries, redirects and the meaning of
errors are its as well.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, ReadTimeoutError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_METADATA = "x-amz-meta-"
_HEADERS = {"IfMatch": "If-Match", "ContentType": "Content-Type"}
_SAFE = "/~"  # what boto3 leaves as it is in a key


class QuickRequests:
    """Asks for single objects; safe for many threads."""

    def __init__(self, client: "S3Client") -> None:
        """Keep the client; nothing is asked yet."""
        self._client: Any = client
        self._addresses: dict[str, str] = {}

    def __call__(
        self, method: str, bucket: str, key: str, pin: Mapping[str, str], *, body: bytes = b""
    ) -> dict[str, Any] | None:
        """Ask, and return what boto3 would; `Body` is urllib3's response, to be read and closed.

        Args:
            method: `GET`, `HEAD` or `PUT`.
            bucket: name of the bucket.
            key: of the object.
            pin: `VersionId`, or `IfMatch` with an ETag in quotes, or `ContentType`, or nothing.
            body: what to put. The signature covers it, so the store keeps nothing that was spoilt on its way.

        Returns:
            None where the answer is no plain success, or nobody answered: boto3 is to ask.

        Raises:
            botocore.exceptions.BotoCoreError: the store did not answer in time.
        """
        if ":" in bucket:  # the name of an access point, which has an address and a signature of its own
            return None
        query = f"?versionId={quote(pin['VersionId'], safe='')}" if "VersionId" in pin else ""
        address = f"{self._address(bucket)}/{quote(key, safe=_SAFE)}{query}"
        signed = self._signed(AWSRequest(method, address, _headers(pin), body or None, stream_output=method == "GET"))
        if signed is None:
            return None
        try:
            answer = self._client._endpoint.http_session.send(signed)  # noqa: SLF001 - the client's own connections
        except (ConnectTimeoutError, ReadTimeoutError):
            raise
        except BotoCoreError:
            return None  # a connection that was kept too long, or one that cannot be made
        lacks_length = method != "PUT" and "Content-Length" not in answer.headers
        if answer.status_code != HTTPStatus.OK or lacks_length:
            answer.raw.drain_conn()
            return None
        return _read(answer)

    def _signed(self, request: AWSRequest) -> Any:
        """Return the request as it is sent; None without credentials."""
        credentials = self._client._request_signer._credentials  # noqa: SLF001 - those that boto3 renews
        if credentials is None:
            return None
        S3SigV4Auth(credentials.get_frozen_credentials(), "s3", self._client.meta.region_name).add_auth(request)
        return request.prepare()

    def _address(self, bucket: str) -> str:
        """Return where a bucket's objects lie, as boto3 finds it once."""
        if bucket not in self._addresses:
            url = self._client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
            self._addresses[bucket] = url.partition("?")[0].removesuffix("/k")
        return self._addresses[bucket]


def _headers(pin: Mapping[str, str]) -> dict[str, str]:
    return {_HEADERS[name]: value for name, value in pin.items() if name in _HEADERS}


def _read(answer: Any) -> dict[str, Any]:
    headers = answer.headers
    head = {
        "ContentLength": int(headers.get("Content-Length", 0)),
        "ETag": headers.get("ETag"),
        "VersionId": headers.get("x-amz-version-id"),
        "Metadata": {
            name.lower().removeprefix(_METADATA): value
            for name, value in headers.items()
            if name.lower().startswith(_METADATA)
        },
        "Body": answer.raw,
    }
    if "Last-Modified" in headers:
        head["LastModified"] = parsedate_to_datetime(headers["Last-Modified"])
    return head
