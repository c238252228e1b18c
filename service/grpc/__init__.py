"""gRPC: the Open Inference Protocol, and health checks.

Only this room imports grpcio and protobuf, which may not be installed.
"""
