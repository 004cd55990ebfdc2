"""Starts the gateway: `python -m services.gateway [--config attune.toml] [--port 8000]`."""

from services.common.config import load_config
from services.gateway.config import GatewayConfig
from services.gateway.server import run_gateway

if __name__ == "__main__":
    run_gateway(load_config(GatewayConfig, "gateway"))
