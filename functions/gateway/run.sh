#!/bin/sh
# The streaming function's entry: the Lambda Web Adapter starts this and passes requests on to the port.
cd "$LAMBDA_TASK_ROOT" || exit 1
export PYTHONPATH="${LAMBDA_RUNTIME_DIR:-}"
exec python3 -m uvicorn functions.gateway.streaming:app --host 127.0.0.1 --port "$AWS_LWA_PORT" \
    --no-access-log --no-server-header --log-level warning --lifespan off
