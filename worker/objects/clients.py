"""Clients of the object store, made of the settings: address, credentials, time-outs that a worker's lease allows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


def s3_client(settings: Settings, endpoint_url: str | None = None) -> "S3Client":
    """Return an S3 client for the settings, or for another address of the same store.

    Its time-outs are short enough for a worker's lease.
    """
    arguments = client_arguments(settings, endpoint_url or settings.s3_endpoint_url)
    # boto3 would presign with version 2 in us-east-1, which newer buckets refuse.
    arguments["config"] = arguments["config"].merge(Config(signature_version="s3v4"))
    return boto3.client("s3", **arguments)


def look(client: "S3Client", bucket: str, key: str, pin: Mapping[str, str]) -> None:
    """Get one byte of an object; what cannot be read raises what the client's library raises."""
    client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0", **pin)["Body"].close()  # type: ignore[arg-type]


def client_arguments(settings: Settings, endpoint_url: str | None) -> dict[str, Any]:
    """Return what S3 and SQS clients have in common: address, credentials, time-outs."""
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return {
        "endpoint_url": endpoint_url,
        "region_name": settings.s3_region,
        "aws_access_key_id": key.get_secret_value() if key else None,
        "aws_secret_access_key": secret.get_secret_value() if secret else None,
        "config": Config(
            connect_timeout=3,
            read_timeout=8,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=64,
            # Stores addressed by host and port have no wildcard names for buckets.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    }
