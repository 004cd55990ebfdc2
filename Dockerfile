# One target per service: docker build --target policy -t attune-policy .
# Each installs only its own extra, so that gateway, feedback and reward carry no torch.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS base
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 ATTUNE_HOME=/var/lib/attune
RUN useradd --system --create-home --home-dir /var/lib/attune attune
WORKDIR /opt/attune
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY protos protos
COPY models models
COPY services services
COPY deploy/recipes deploy/recipes

FROM base AS torch
# A CPU-only PyTorch index, as PyTorch's install page gives it; empty takes the default build.
ARG TORCH_INDEX=
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch==2.13.0

FROM torch AS policy
RUN pip install --constraint constraints.txt '.[policy]'
USER attune
ENTRYPOINT ["python", "-m", "services.policy"]

FROM torch AS trainer
RUN pip install --constraint constraints.txt '.[trainer]'
USER attune
ENTRYPOINT ["python", "-m", "services.trainer"]

FROM base AS reward
RUN pip install --constraint constraints.txt '.[reward]'
USER attune
ENTRYPOINT ["python", "-m", "services.reward"]

FROM base AS feedback
RUN pip install --constraint constraints.txt '.[feedback]'
USER attune
ENTRYPOINT ["python", "-m", "services.feedback"]

FROM base AS gateway
RUN pip install --constraint constraints.txt '.[gateway]'
USER attune
ENTRYPOINT ["python", "-m", "services.gateway"]
