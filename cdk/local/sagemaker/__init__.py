"""SageMaker for the twin: its wire protocol, and training jobs and endpoints that really run our containers.

A container is a process with the container's folder layout, environment, time limit and no network.
"""
