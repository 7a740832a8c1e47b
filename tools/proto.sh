#!/bin/sh
# Generates proto/heliostat/v1/*_pb2*.py and farm/gateway/openapi.json from the .proto files. Run by
# `make proto`.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
BIN=$(dirname "$PYTHON")
PATH="$BIN:$PATH" "$PYTHON" -m grpc_tools.protoc -I proto \
  --python_out=proto --mypy_out=readable_stubs:proto --grpc_python_out=proto \
  --mypy_grpc_out=readable_stubs:proto proto/heliostat/v1/*.proto
# types.proto has no service
rm -f proto/heliostat/v1/types_pb2_grpc.py*
# the same calls by JSON, and the SDK's for asyncio
"$PYTHON" tools/openapi.py
"$PYTHON" tools/async_sdk.py
