"""Structured logs: a static event name plus fields, ids bound for the length of a task."""

import logging
import sys

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def configure_logging(level: str, log_format: str) -> None:
    """Send structlog and the standard library's loggers to stderr in one format.

    Args:
        level: least level logged, a name of :mod:`logging` such as ``INFO``.
        log_format: ``json`` for one object a line, ``console`` for people.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # The console renderer draws tracebacks itself; JSON wants them as text.
    ending: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # What these chat about is of use only when someone asks for it, and httpx would tell whole addresses of webhooks,
    # which hold secrets with many platforms. Celery has two lines for each scan, and Assay one that says more.
    libraries = ("botocore", "boto3", "urllib3", "s3transfer", "sqlalchemy.engine", "alembic", "PIL", "httpx")
    for chatty in (*libraries, "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))


def get_logger() -> FilteringBoundLogger:
    """Return a logger; the caller's module needs no name, the event name says enough."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger
