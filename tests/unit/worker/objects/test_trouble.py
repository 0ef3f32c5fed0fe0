"""One table says what a store's error means, whoever met it."""

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from urllib3.exceptions import ProtocolError

from tests.unit.worker.objects.answering_store import OUTAGES, REFUSALS
from worker.errors import GoneError
from worker.objects.trouble import Meaning, ObjectStoreDownError, RefusedError, meaning_of, name_trouble


def answered(status: int, code: str) -> ClientError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")  # type: ignore[arg-type]


def wrapped(error: ClientError) -> S3UploadFailedError:
    """As boto3 wraps what an upload met."""
    try:
        try:
            raise error
        except ClientError:
            raise S3UploadFailedError("upload failed")  # noqa: B904 - as boto3 does it.
    except S3UploadFailedError as failed:
        return failed


@pytest.mark.parametrize(("status", "code"), OUTAGES)
def test_an_upload_that_meets_an_outage_is_told_from_one_that_is_refused(status: int, code: str) -> None:
    assert meaning_of(wrapped(answered(status, code))) is Meaning.OUTAGE


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_an_upload_that_is_refused_is_told_from_an_outage(status: int, code: str) -> None:
    assert meaning_of(wrapped(answered(status, code))) is Meaning.REFUSED


def test_what_never_reached_the_store_is_an_outage() -> None:
    for error in (EndpointConnectionError(endpoint_url="http://a:b@c"), ProtocolError("broken"), NoCredentialsError()):
        with pytest.raises(ObjectStoreDownError) as down, name_trouble("s3://bucket/key"):
            raise error
        assert "a:b" not in down.value.detail


def test_what_is_not_there_is_gone_for_a_reader_and_refused_to_a_writer() -> None:
    with pytest.raises(GoneError, match="there is no s3://bucket/key"), name_trouble("s3://bucket/key"):
        raise answered(404, "NoSuchKey")
    with (
        pytest.raises(RefusedError, match="refuses s3://bucket/key"),
        name_trouble("s3://bucket/key", may_be_gone=False),
    ):
        raise answered(404, "NoSuchKey")


def test_a_defect_of_ours_is_not_called_trouble_of_the_store() -> None:
    with pytest.raises(ZeroDivisionError), name_trouble("s3://bucket/key"):
        _ = 1 / 0
