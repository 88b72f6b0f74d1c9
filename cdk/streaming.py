"""Streams: the same application behind a function URL, whose answers go out as they are written.

An HTTP API buffers what its function answers, and a REST API, which has not since November 2025, would bring its stage
into every path and cost three times as much. A function URL streams for nothing; what it lacks is an authorizer, so the
function looks the key up itself. AWS's Lambda Web Adapter, a public layer, turns invocations into HTTP for uvicorn.

Sources: docs.aws.amazon.com/lambda/latest/dg/urls-auth.html and
apigateway/latest/developerguide/response-transfer-mode.html, awslabs.github.io/aws-lambda-web-adapter (2026-11-20).
"""

from __future__ import annotations

from aws_cdk import Stack, aws_lambda
from constructs import Construct
from millrace import settings

from . import bundle
from .code import Functions

ADAPTER = "753240598075:layer:LambdaAdapterLayerX86:26"
"""The publisher's account and the layer's version, one for every commercial region."""
PORT = 8000
STREAM_TIMEOUT_S = 120
"""The deadline of a rewrite, and time for a slow reader."""


class Streaming(Construct):
    """One function and its URL."""

    def __init__(self, scope: Construct, id: str, functions: Functions, gateway: settings.Gateway) -> None:
        super().__init__(scope, id)
        self.function = functions.function(
            self,
            "stream",
            "functions/gateway/run.sh",
            gateway,
            kind=bundle.GATEWAY,
            timeout_s=STREAM_TIMEOUT_S,
            memory_mb=1769,
        )
        stack = Stack.of(self)
        arn = f"arn:{stack.partition}:lambda:{stack.region}:{ADAPTER}"
        self.function.add_layers(aws_lambda.LayerVersion.from_layer_version_arn(self, "Adapter", arn))
        for name, value in {
            "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
            "AWS_LWA_PORT": str(PORT),
            "AWS_LWA_INVOKE_MODE": "response_stream",
            "AWS_LWA_READINESS_CHECK_PATH": "/ready",
        }.items():
            self.function.add_environment(name, value)
        self.url = self.function.add_function_url(
            auth_type=aws_lambda.FunctionUrlAuthType.NONE,  # the application's own doorkeeper checks the key
            invoke_mode=aws_lambda.InvokeMode.RESPONSE_STREAM,
        )
