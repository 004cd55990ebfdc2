# One target per service, and `all`, which is `attune up` in one container:
#
#   docker build --target policy --tag attune-policy .
#
# Each holds a virtual environment with the wheel and its own extra, so that gateway, feedback and
# reward carry no torch. On a machine with NVIDIA GPUs, policy, trainer and reward take a CUDA base
# (torch brings its own CUDA libraries):
#
#   docker build --target policy --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .
#
# State is under ATTUNE_HOME, which policy, reward and trainer share: mount one volume for all.
ARG BASE=python:3.11-slim

FROM ${BASE} AS python
# Ubuntu, which CUDA bases are made of, brings no Python; with its compiler and Python's headers
# Triton builds what launches the policy's kernels, where it runs.
RUN command -v python3 >/dev/null || ( \
      apt-get update \
      && apt-get install --yes --no-install-recommends \
           python3 python3-venv python3-dev gcc libc6-dev \
      && rm -rf /var/lib/apt/lists/* \
    )

FROM python AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/attune \
    && apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY protos protos
COPY models models
COPY services services
COPY deploy/recipes deploy/recipes
# The policy's kernels for CPU, for all levels of x86-64: CPU images hold no compiler.
RUN python3 services/policy/engine/native/library.py --portable
RUN /opt/attune/bin/pip wheel --no-deps --wheel-dir /wheels .
ENV PATH=/opt/attune/bin:$PATH

FROM builder AS torch
# A CPU-only PyTorch index, as PyTorch's install page gives it; empty takes the default build.
ARG TORCH_INDEX=
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch==2.13.0

FROM torch AS policy-environment
RUN pip install --constraint constraints.txt "$(echo /wheels/*.whl)[policy]"

FROM torch AS trainer-environment
RUN pip install --constraint constraints.txt "$(echo /wheels/*.whl)[trainer]"

FROM builder AS reward-environment
RUN pip install --constraint constraints.txt "$(echo /wheels/*.whl)[reward]"

FROM builder AS feedback-environment
RUN pip install --constraint constraints.txt "$(echo /wheels/*.whl)[feedback]"

FROM builder AS gateway-environment
RUN pip install --constraint constraints.txt "$(echo /wheels/*.whl)[gateway]"

FROM torch AS all-environment
RUN pip install --constraint constraints.txt "$(echo /wheels/*.whl)[all]"

FROM python AS runtime
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/attune attune
# A container is reached through the ports that are published, so that services listen on all of
# its addresses; idle threads sleep, since services share the cores.
ENV PATH=/opt/attune/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ATTUNE_HOME=/var/lib/attune \
    ATTUNE_POLICY_HOST=0.0.0.0 \
    ATTUNE_REWARD_HOST=0.0.0.0 \
    ATTUNE_TRAINER_HOST=0.0.0.0 \
    ATTUNE_FEEDBACK_HOST=0.0.0.0 \
    ATTUNE_GATEWAY_HOST=0.0.0.0 \
    OMP_WAIT_POLICY=PASSIVE \
    KMP_BLOCKTIME=0 \
    GOMP_SPINCOUNT=0
USER attune
WORKDIR /var/lib/attune
VOLUME /var/lib/attune
STOPSIGNAL SIGTERM

FROM runtime AS policy
COPY --from=policy-environment /opt/attune /opt/attune
EXPOSE 7001 7101
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD python -P -m services.common.readiness 127.0.0.1:${ATTUNE_POLICY_PORT:-7001}
ENTRYPOINT ["python", "-P", "-m", "services.policy"]

FROM runtime AS reward
COPY --from=reward-environment /opt/attune /opt/attune
EXPOSE 7002 7102
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD python -P -m services.common.readiness 127.0.0.1:${ATTUNE_REWARD_PORT:-7002}
ENTRYPOINT ["python", "-P", "-m", "services.reward"]

FROM runtime AS trainer
COPY --from=trainer-environment /opt/attune /opt/attune
EXPOSE 7003 7103
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD python -P -m services.common.readiness 127.0.0.1:${ATTUNE_TRAINER_PORT:-7003}
ENTRYPOINT ["python", "-P", "-m", "services.trainer"]

FROM runtime AS feedback
COPY --from=feedback-environment /opt/attune /opt/attune
EXPOSE 7004 7104
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD python -P -m services.common.readiness 127.0.0.1:${ATTUNE_FEEDBACK_PORT:-7004}
ENTRYPOINT ["python", "-P", "-m", "services.feedback"]

FROM runtime AS gateway
COPY --from=gateway-environment /opt/attune /opt/attune
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD python -P -m services.common.readiness --http 127.0.0.1:${ATTUNE_GATEWAY_PORT:-8000}
ENTRYPOINT ["python", "-P", "-m", "services.gateway"]

FROM runtime AS all
COPY --from=all-environment /opt/attune /opt/attune
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD python -P -m services.common.readiness --http 127.0.0.1:8000
ENTRYPOINT ["attune"]
CMD ["up"]
