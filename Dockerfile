# The API (`python -m service`) and, by another command, the MLflow server (`mlflow server`).
# A release names the base by digest: make image PYTHON_IMAGE=python:3.13-slim@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
COPY requirements-server.lock /tmp/
# Neither pip nor the tests, headers and converters of libraries are used in a container. Bytecode is made here, because the root
# file system is read-only there.
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r /tmp/requirements-server.lock \
 && /opt/venv/bin/pip uninstall -qy pip \
 && find /opt/venv -type d \( -name tests -o -name test -o -path '*/pyarrow/include' -o -path '*/onnxruntime/transformers' \) \
      -prune -exec rm -rf {} + \
 && python3 -m compileall -qj0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${PYTHON_IMAGE}
RUN echo 'service:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'service:x:10001:' >> /etc/group \
 && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SERVICE_HOST=0.0.0.0 SERVICE_DATA_DIR=/data
WORKDIR /app
COPY service service
RUN python3 -m compileall -qj0 --invalidation-mode unchecked-hash service
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s --timeout=3s CMD \
    ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python3", "-m", "service"]
