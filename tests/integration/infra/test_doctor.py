from pathlib import Path

import pytest

from infra.cli.doctor import examine
from worker.settings import Settings

NOWHERE = "127.0.0.1:9"


def test_a_machine_where_nothing_runs_gets_advice_for_each_part_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Celery tries a silent broker again, seconds apart.
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _seconds: None)
    settings = Settings(
        database_url=f"postgresql+psycopg://assay:hunter2@{NOWHERE}/assay",
        redis_url=f"redis://:hunter2@{NOWHERE}/0",
        s3_endpoint_url=f"http://{NOWHERE}",
        s3_access_key_id="assay",
        s3_secret_access_key="hunter2",
        sqs_queue_url=f"http://{NOWHERE}/queue",
        sqs_endpoint_url=f"http://{NOWHERE}",
        data_dir=tmp_path,
        api_port=9,
        flower_host="127.0.0.1",
        flower_port=9,
        flower_basic_auth="assay:hunter2",
        bundle="no-such-bundle",
    )
    findings = {finding.part: finding for finding in examine(settings)}
    ailing = {part for part, finding in findings.items() if not finding.healthy}
    parts_ailing = {"object store", "database", "broker", "backlog", "champion", "bundle"}
    assert ailing == parts_ailing | {"listener", "dispatcher", "worker", "API", "Flower"}
    for part in ailing:
        assert findings[part].advice
    assert "hunter2" not in repr(findings)
