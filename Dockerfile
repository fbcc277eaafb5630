# One image for every service of docker-compose.yml; the command says which.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# Optional parts of the package, separated by commas; one at least, and `flower` for the service of that name.
ARG EXTRAS=all
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv --without-pip /opt/pipeline \
 && pip --python /opt/pipeline/bin/python install --no-cache-dir "$(ls /wheels/*.whl)[${EXTRAS}]"

# Nothing that builds: no sources, no compilers, no wheels.
FROM python:${PYTHON}-slim
RUN groupadd --gid 10001 pipeline \
 && useradd --uid 10001 --gid pipeline --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pipeline
COPY --from=build /opt/pipeline /opt/pipeline
# Logs appear as they are written; the root may be read-only, so that caches go where tmpfs is.
ENV PATH=/opt/pipeline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# Definitions are mounted here; functions of yours are imported from the current directory, too.
WORKDIR /definitions
USER 10001:10001
CMD ["pipeline", "--help"]
