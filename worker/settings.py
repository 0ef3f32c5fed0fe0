"""Settings: one frozen object, read by entry points alone, from the environment and from files of secrets.

Names are the fields in capitals behind ``ASSAY_``. A file in the folder of secrets has the same name in small letters;
the environment wins.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from worker.setting_checks import check_address, check_level
from worker.setting_sources import SECRETS
from worker.sign_in_settings import SignInSettings


class Settings(SignInSettings):
    """Everything a platform engineer can set, with defaults for one machine."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- Where the parts are -------------------------------------------------
    database_url: SecretStr = Field(
        default=SecretStr("postgresql+psycopg://assay@127.0.0.1:5432/assay"),
        description="SQLAlchemy URL of PostgreSQL, driver psycopg.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Valkey or Redis: Celery's broker, and the count for rate limits.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="Another broker for Celery, such as `amqp://…` or `sentinel://…;sentinel://…`; empty: `redis_url`.",
    )
    broker_sentinel_master: str | None = Field(
        default=None, description="The name of the master that sentinels watch, for a broker `sentinel://…`."
    )
    s3_endpoint_url: str | None = Field(default=None, description="S3-compatible endpoint; empty means AWS.")
    s3_public_endpoint_url: str | None = Field(
        default=None,
        description="The endpoint as browsers reach it, for presigned addresses; empty means `s3_endpoint_url`.",
    )
    s3_access_key_id: SecretStr | None = Field(
        default=None, description="S3 access key; empty means boto3's own chain."
    )
    s3_secret_access_key: SecretStr | None = Field(
        default=None, description="S3 secret key; empty means boto3's own chain."
    )
    s3_region: str = Field(default="us-east-1", description="Region of buckets and queue.")
    upload_buckets: tuple[str, ...] = Field(
        default=("uploads",),
        description="Buckets whose objects become scans, as a JSON list; the first takes API uploads.",
    )
    artifact_bucket: str = Field(
        default="assay-artifacts",
        description="Bucket for what Assay writes itself; never ingested.",
    )
    sqs_queue_url: str | None = Field(
        default=None, description="SQS queue with the buckets' events; empty means no listener."
    )
    sqs_endpoint_url: str | None = Field(default=None, description="SQS-compatible endpoint; empty means AWS.")

    # --- Ingest and dispatch -------------------------------------------------
    image_id_pattern: str | None = Field(
        default=None,
        description="Regular expression on the key whose first group (or group `image_id`) is the image id.",
    )
    max_in_flight: int = Field(default=512, ge=1, description="Scans dispatched or leased at once, for each queue.")
    dispatch_interval_seconds: float = Field(
        default=0.1, gt=0, description="Pause of the dispatcher when nothing was due."
    )
    dispatch_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        description="A dispatched scan nobody leased by then is dispatched again, if the broker has lost its message.",
    )
    lease_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long a lease lasts that is not renewed; a worker that dies is noticed within seconds.",
    )
    max_attempts: int = Field(default=5, ge=1, description="Attempts after which a scan is dead.")
    retry_base_seconds: float = Field(
        default=2.0, gt=0, description="Backoff before the second attempt; doubles, with jitter."
    )
    retry_max_seconds: float = Field(default=300.0, gt=0, description="Longest backoff between attempts.")
    sweep_interval_seconds: float = Field(
        default=300.0, gt=0, description="How often the buckets are reconciled with the database."
    )

    # --- Limits --------------------------------------------------------------
    max_image_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1, description="Largest object fetched or uploaded, in bytes."
    )
    fetch_threads: int = Field(
        default=4, ge=0, le=64, description="Files that a worker fetches beside its scans at once; 0: it fetches none."
    )
    fetch_private_addresses: bool = Field(
        default=False, description="Fetch files from private, loopback and link-local addresses and over http too."
    )
    max_image_pixels: int = Field(default=50_000_000, ge=1, description="Most pixels decoded, width times height.")
    animation_frames: int = Field(
        default=8,
        ge=1,
        le=8,
        description="Frames of an animation that detectors judge; each costs as much as an image. 1 to 8.",
    )

    # --- Detection -----------------------------------------------------------
    bundle: str = Field(default="wild", description="Shipped bundle that becomes champion of an empty database.")
    device: str = Field(default="auto", description="Torch device: `auto`, `cpu`, `cuda` or `cuda:N`.")
    encoders_dir: Path | None = Field(
        default=None,
        description="Folder of pretrained encoders; empty means `.assay/encoders` of the project's folder.",
    )
    engine: Literal["auto", "openvino", "torch"] = Field(
        default="auto",
        description="What runs detectors: `auto` and `openvino` take OpenVINO on CPUs where it agrees with torch, "
        "`torch` does not.",
    )
    engine_cache_dir: Path | None = Field(
        default=None,
        description="Folder of exported networks, which several deployments may share; "
        "empty means `engine` in the data folder.",
    )
    most_views: int = Field(
        default=0,
        ge=0,
        description="Most views of an image for an encoder detector; 0: as many as it was made for. Give workers and "
        "API the same, or the console frames crops that nobody looked at.",
    )
    torch_threads: int = Field(default=0, ge=0, description="Torch's CPU threads; 0: one for each core it may use.")
    max_batch: int = Field(default=16, ge=1, description="Most images in one forward pass.")
    max_wait_ms: float = Field(default=25.0, ge=0, description="Longest wait for a batch to fill, in milliseconds.")
    batch_timeout_seconds: float = Field(
        default=30.0, gt=0, description="A batch that takes longer ends the process as wedged."
    )
    decode_cpu_seconds: float = Field(
        default=10.0, gt=0, description="Most processor time for decoding one image; what needs more is rejected."
    )
    decode_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest decoding of one image; its process is killed after it."
    )
    decode_memory_bytes: int = Field(
        default=2 * 1024**3, ge=1, description="Address space of a process that decodes images, in bytes."
    )
    heatmaps: Literal["flagged", "never"] = Field(
        default="flagged", description="`flagged` makes heatmaps for `ai_generated`, `never` none."
    )
    c2pa_trust_anchors: Path | None = Field(
        default=None,
        description="PEM file, or folder of them, with certificates whose C2PA signatures are trusted besides the "
        "fetched trust lists.",
    )
    c2pa_trust_lists: tuple[str, ...] = Field(
        default=(
            "https://raw.githubusercontent.com/c2pa-org/conformance-public/main/trust-list/C2PA-TRUST-LIST.pem",
            "https://raw.githubusercontent.com/c2pa-org/conformance-public/main/trust-list/C2PA-TSA-TRUST-LIST.pem",
            "https://contentcredentials.org/trust/anchors.pem",
        ),
        description="Where `assay trust update` fetches trust lists from, into `trust` below ASSAY_DATA_DIR. By "
        "default the C2PA's own, that of its time-stamping authorities, and the interim list of the Content "
        "Authenticity Initiative. JSON array.",
    )
    shadow_min_images: int = Field(
        default=200, ge=0, description="Images that a bundle must have judged in shadow before it may be promoted."
    )

    # --- Labels and training -------------------------------------------------
    label_reviewers: int = Field(
        default=2, ge=1, description="Distinct reviewers who must agree before a label may be used for training."
    )
    audit_share: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="Share of all images, chosen by their content, that never trains; rates are measured on it.",
    )

    feature_days: int = Field(
        default=90, ge=0, description="Days that features of scans are kept, to fit heads on again; 0 keeps none."
    )
    shadow_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of live images that a bundle which the gate passed scans in shadow; 0 waits for an admin.",
    )
    training_data: Path | None = Field(
        default=None, description="Folder of the training worker with the recipes' own files and other data."
    )
    training_recipes: Path | None = Field(
        default=None, description="Folder with recipes of your own; they come before those of the release."
    )
    training_foreign_weights: bool = Field(
        default=False,
        description="Training runs asked for through the API may name other weights than their recipe: hub ids, and "
        "safetensors files below `training_data`.",
    )
    training_threads: int = Field(
        default=0, ge=0, description="CPU threads of a training run; 0 leaves one core to everything else."
    )
    training_lease_seconds: float = Field(
        default=60.0, gt=0, description="A training run whose worker was not heard of for so long is taken over."
    )
    training_checkpoint_seconds: float = Field(
        default=300.0, gt=0, description="How often a run's checkpoints are copied to the artifact bucket."
    )

    canary_source: str | None = Field(
        default=None,
        description="Source that holds photographs alone: what is flagged there is a false positive, measured daily.",
    )

    # --- API -----------------------------------------------------------------
    api_host: str = Field(default="127.0.0.1", description="Address the API binds to.")
    api_port: int = Field(default=8080, ge=0, le=65535, description="Port the API binds to.")
    api_header_seconds: float = Field(
        default=10.0, gt=0, description="The API hangs up on a connection whose request line and headers take longer."
    )
    api_max_connections: int = Field(
        default=800, ge=1, description="Most connections to one API process; those that wait for a request make room."
    )
    rate_limit: str | None = Field(
        default="200/second",
        description="Most requests of one API key, the console's included, such as `200/second` or `6000/minute`; "
        "empty counts nothing.",
    )
    api_metrics: bool = Field(default=True, description="Serve `/metrics` of the API, to whoever reaches its port.")
    guess_rate_limit: str | None = Field(
        default="60/minute",
        description="Most requests without a good API key, and failed sign-ins, from one address; empty counts none.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call the API from a browser, as a JSON list; none by default."
    )
    review_reasons: tuple[str, ...] = Field(
        default=(
            "Hands, teeth or eyes are wrong",
            "Text or signs are garbled",
            "Light, shadows or reflections disagree",
            "Surfaces are too smooth or repeat",
            "A mark or caption names a generator",
            "Camera noise and lens traces are there",
            "Known photograph or known photographer",
        ),
        max_length=9,
        description="Reasons that reviewers choose with the keys 1 to 9, as a JSON list of at most nine.",
    )
    appeal_deadline_days: float = Field(
        default=14.0, gt=0, le=3650, description="An appeal is overdue after so many days without a decision."
    )
    webhook_private_addresses: bool = Field(
        default=False, description="Send webhooks to private, loopback and link-local addresses and over http too."
    )
    webhook_ports: tuple[int, ...] = Field(
        default=(), description="Ports that webhooks may be sent to, as a JSON list such as `[443]`; empty: any."
    )
    webhook_disable_days: float = Field(
        default=5.0, gt=0, description="A webhook endpoint that has failed for so many days is disabled."
    )
    presign_seconds: int = Field(default=300, ge=1, description="Life of a presigned heatmap address, in seconds.")
    flower_host: str = Field(default="127.0.0.1", description="Address Flower binds to.")
    flower_port: int = Field(default=5555, ge=0, le=65535, description="Port of Flower.")
    flower_basic_auth: SecretStr | None = Field(
        default=None, description="`user:password` of Flower; without it Flower does not start."
    )

    metrics_host: str = Field(default="127.0.0.1", description="Address of the metrics of workers and dispatchers.")
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of those metrics and of `/health/live`; 0 serves none. The API has its own at `/metrics`.",
    )

    # --- Where things lie, how they talk ------------------------------------
    secrets_dir: Path = Field(
        default=SECRETS,
        description="Folder of files named as these variables in small letters, such as `assay_database_url`.",
    )
    data_dir: Path = Field(default=Path(".assay"), description="Data, logs and credentials of the embedded stack.")
    log_level: str = Field(default="INFO", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json` for machines, `console` for people."
    )

    @field_validator("secrets_dir")
    @classmethod
    def _must_be_a_folder(cls, folder: Path) -> Path:
        if folder != SECRETS and not folder.is_dir():
            raise ValueError(f"{folder} is no folder; make it with `assay init`, or leave this unset")
        return folder

    _addresses = field_validator("s3_endpoint_url", "s3_public_endpoint_url", "sqs_endpoint_url", "sqs_queue_url")(
        check_address
    )
    _level = field_validator("log_level")(check_level)
