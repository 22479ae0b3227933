# The planner with git, for `planner follow`; the worker needs no git.
#   docker build -f deploy/Dockerfile -t planner .
#   docker build -f deploy/follow.Dockerfile -t planner-follow .
ARG PLANNER=planner
# hadolint ignore=DL3006
FROM ${PLANNER}
# hadolint ignore=DL3002
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git openssh-client gnupg \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
HEALTHCHECK NONE
CMD ["follow", "--help"]
