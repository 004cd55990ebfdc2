"""Asks a service whether it serves: gRPC health by its full name, the gateway by HTTP.

`python -m services.common.readiness [--http] HOST:PORT` exits with 0 if it does; containers ask so.
"""

import argparse
import http.client
from typing import Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Health = Literal["serving", "not serving", "no answer"]
_TIMEOUT_S = 1.0
_HTTP_TIMEOUT_S = 3.0  # the gateway asks the services in turn before it answers


def check_health(address: str, grpc_name: str | None) -> Health:
    """The health of a service; takes a few seconds at most."""
    return _http_health(address) if grpc_name is None else _grpc_health(address, grpc_name)


def _grpc_health(address: str, grpc_name: str) -> Health:
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=grpc_name)
        try:
            status = stub.Check(request, timeout=_TIMEOUT_S).status
        except grpc.RpcError as error:
            is_up = error.code() is grpc.StatusCode.NOT_FOUND
            return "not serving" if is_up else "no answer"
    return "serving" if status == health_pb2.HealthCheckResponse.SERVING else "not serving"


def _http_health(address: str) -> Health:
    connection = http.client.HTTPConnection(address, timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        return "serving" if connection.getresponse().status == 200 else "not serving"
    except (OSError, http.client.HTTPException):
        return "no answer"
    finally:
        connection.close()


def main() -> int:
    """Prints the health of a whole server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--http", action="store_true", help="ask for GET /health/ready")
    arguments = parser.parse_args()
    health = check_health(arguments.address, None if arguments.http else "")
    print(health)
    return 0 if health == "serving" else 1


if __name__ == "__main__":
    raise SystemExit(main())
