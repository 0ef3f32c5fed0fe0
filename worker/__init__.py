"""The way of an image: ingest, dispatch, fetch, decode, detect, decide, record."""
