"""The only Powertools instances. Bodies, texts and keys are never logged."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics

logger = Logger(log_uncaught_exceptions=False)
metrics = Metrics(namespace="Millrace")
