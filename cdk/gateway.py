"""The HTTP API: who calls is settled by the authorizer before the gateway sees a request."""

from __future__ import annotations

import json
from typing import cast

from aws_cdk import Duration, aws_apigatewayv2, aws_logs
from aws_cdk.aws_apigatewayv2_authorizers import HttpLambdaAuthorizer, HttpLambdaResponseType
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct
from millrace import settings

from . import bundle
from .code import Functions
from .stage import Stage

PUBLIC = ("/", "/openapi.json", "/docs", "/console/{path+}", "/api/system/health")
"""GET without a key: the first page, its files, the description of the API, and whether it is up."""
GATEWAY_TIMEOUT_S = 29
"""API Gateway gives up after 30 s; the handler's own deadline is shorter still."""


ACCESS_LOG_FORMAT = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "sourceIp": "$context.identity.sourceIp",
    "routeKey": "$context.routeKey",
    "path": "$context.path",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "responseLatency": "$context.responseLatency",
    "authorizerError": "$context.authorizer.error",
    "integrationError": "$context.integrationErrorMessage",
}


class Gateway(Construct):
    """The API, the function that answers and the function that says who is calling."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        functions: Functions,
        stage: Stage,
        gateway: settings.Gateway,
        storage: settings.Storage,
    ) -> None:
        super().__init__(scope, id)
        self.function = functions.function(
            self,
            "gateway",
            "functions.gateway.handler.handler",
            gateway,
            kind=bundle.GATEWAY,
            timeout_s=GATEWAY_TIMEOUT_S,
            memory_mb=1769,  # one whole processor: the imports alone take 0.26 s of one, a first answer 0.6
        )
        self.authorizer = functions.function(
            self, "authorize", "functions.authorize.handler.handler", storage, timeout_s=10, memory_mb=512
        )
        self.api = self._api(stage)
        self.access_log = aws_logs.LogGroup(
            self,
            "AccessLog",
            retention=stage.log_retention,
            removal_policy=stage.removal,
            encryption_key=functions.key,
        )
        self._serve(stage)

    def _api(self, stage: Stage) -> aws_apigatewayv2.HttpApi:
        """No identity source: a missing key is for our authorizer to answer, and nothing is cached between callers."""
        integration = HttpLambdaIntegration("Answer", self.function)
        api = aws_apigatewayv2.HttpApi(
            self,
            "Api",
            api_name=stage.prefix,
            create_default_stage=False,
            default_integration=integration,
            default_authorizer=HttpLambdaAuthorizer(
                "Caller",
                self.authorizer,
                authorizer_name="caller",
                identity_source=[],
                response_types=[HttpLambdaResponseType.SIMPLE],
                results_cache_ttl=Duration.seconds(0),
            ),
        )
        for path in PUBLIC:
            api.add_routes(
                path=path,
                methods=[aws_apigatewayv2.HttpMethod.GET],
                integration=integration,
                authorizer=aws_apigatewayv2.HttpNoneAuthorizer(),
            )
        return api

    def _serve(self, stage: Stage) -> None:
        served = aws_apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=aws_apigatewayv2.ThrottleSettings(
                rate_limit=stage.requests_per_s, burst_limit=stage.request_burst
            ),
            detailed_metrics_enabled=True,
        )
        resource = cast(aws_apigatewayv2.CfnStage, served.node.default_child)
        resource.access_log_settings = aws_apigatewayv2.CfnStage.AccessLogSettingsProperty(
            destination_arn=self.access_log.log_group_arn, format=json.dumps(ACCESS_LOG_FORMAT)
        )
