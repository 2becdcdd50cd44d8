# recurra serve for the models in /models. Not built by the tests.
#
#   docker build -t recurra .
#   docker run --read-only --tmpfs /tmp -e RECURRA_TOKEN -p 8080:8080 -v "$PWD/models:/models:ro" recurra
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
# The CPU build of PyTorch is several gigabytes smaller. Another index: --build-arg TORCH_INDEX=URL.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/recurra \
 && /opt/recurra/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" \
        "$(grep '^torch==' constraints.txt)" \
 && /opt/recurra/bin/pip install --no-cache-dir -c constraints.txt '.[serve]'

FROM python:3.11-slim
# PyTorch's threads.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /home/recurra recurra
COPY --from=build /opt/recurra /opt/recurra
# The file system is read-only: caches of kernels, tokens and fonts are in /tmp, which is a tmpfs.
ENV PATH=/opt/recurra/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    RECURRA_CACHE=/tmp/recurra \
    RECURRA_KERNEL_CACHE=/tmp/recurra-kernels \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["recurra", "serve"]
CMD ["/models", "--host", "0.0.0.0", "--port", "8080"]
