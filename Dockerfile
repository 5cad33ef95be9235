# Atelier in a container; docs/serving.md says how it is built, run and updated.
# CPU:  docker build -t atelier .
# CUDA: docker build -t atelier --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
FROM python:3.12-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ATELIER_HOME=/var/lib/atelier

RUN useradd --uid 10001 --create-home --home-dir /home/atelier --shell /usr/sbin/nologin atelier \
    && install -d -o atelier -g atelier -m 0700 /var/lib/atelier

WORKDIR /opt/atelier
COPY requirements.txt requirements-serving.txt ./
RUN pip install --extra-index-url "${TORCH_INDEX}" -r requirements-serving.txt

COPY streamlit_app.py LICENSE ./
COPY .streamlit/config.toml .streamlit/
COPY assets assets
COPY core core
COPY pages pages

USER 10001
VOLUME /var/lib/atelier
EXPOSE 8501

# within the container on every interface; who may come in is decided by signing in (secrets.toml)
ENV STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_HEADLESS=true
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:8501' + os.environ.get('STREAMLIT_SERVER_BASE_URL_PATH', '') + '/_stcore/health', timeout=4).read()"]
CMD ["python", "-m", "streamlit", "run", "streamlit_app.py", "--secrets.files", "/run/secrets/atelier.toml"]
