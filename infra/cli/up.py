"""`assay up`: the whole of Assay on this machine, until Ctrl-C."""

import sys

from infra.stack import AssayStack, Doors
from worker.settings import Settings


def up() -> None:
    """Start the embedded stack and Assay's processes, and keep them up; data stays in `.assay/`."""
    settings = Settings()
    _say("starting Postgres, Valkey, the object store, worker, dispatcher, listener, API and Flower …")
    AssayStack(settings, report=_say).run(lambda doors: _say(describe(doors, settings)))
    _say("stopped; the data is kept")


def describe(doors: Doors, settings: Settings) -> str:
    """Return what a person needs to use the running stack."""
    return f"""Assay is up.
  console  {doors.api_url}/console   sign in with the key below
  API      {doors.api_url}/docs
  Flower   {doors.flower_url}   user and password: {settings.data_dir / "flower_login"}
  API key  {settings.data_dir / "api_key"} holds an admin key of this machine;
           curl -H @{settings.data_dir / "api_key.header"} sends it
  logs     {settings.data_dir / "logs"}
  S3       source {settings.data_dir / "aws.env"}   then: aws s3 cp PICTURE s3://uploads/
Ctrl-C stops it."""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
