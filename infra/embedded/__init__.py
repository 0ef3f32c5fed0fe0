"""The embedded default: real Postgres, Valkey and an S3-compatible store, run and watched by us on 127.0.0.1."""
