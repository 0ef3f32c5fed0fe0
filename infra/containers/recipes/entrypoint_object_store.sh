#!/bin/sh
# Called as RustFS' own is: `/entrypoint.sh rustfs`.
exec /opt/ministack/bin/python -P /opt/stand-in/run_object_store.py
