# One image for every service in docker-compose.yml; the command selects the service.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# Extras of the package, comma-separated; at least one, and `flower` if you run that service.
ARG EXTRAS=all
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv --without-pip /opt/pipeline \
 && pip --python /opt/pipeline/bin/python install --no-cache-dir "$(ls /wheels/*.whl)[${EXTRAS}]"

# The final image contains no build tools: no sources, compilers or wheels.
FROM python:${PYTHON}-slim
RUN groupadd --gid 10001 pipeline \
 && useradd --uid 10001 --gid pipeline --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pipeline
COPY --from=build /opt/pipeline /opt/pipeline
# Logs appear as they are written. The root may be read-only, so caches go to the tmpfs.
ENV PATH=/opt/pipeline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# Definitions are mounted here. Your own functions are also imported from the current directory.
WORKDIR /definitions
USER 10001:10001
CMD ["pipeline", "--help"]
