# The app, without torch. Build it in a clone, and mount a store:
#   docker build --tag token-trails .
#   docker run --publish 127.0.0.1:8501:8501 --volume "$PWD/data/demo:/store" token-trails
FROM python:3.11-slim

WORKDIR /app
COPY requirements-app.lock ./
RUN pip install --no-cache-dir --requirement requirements-app.lock

COPY pyproject.toml README.md LICENSE app.py token_trails.py ./
COPY .streamlit .streamlit
COPY ingest ingest
COPY queries queries
COPY store store
COPY views views
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home reader
USER reader
EXPOSE 8501
# 0.0.0.0 is the container's own network: `--publish 127.0.0.1:…` keeps the app on this machine.
ENTRYPOINT ["token-trails", "app", "--address", "0.0.0.0", "--no-browser"]
CMD ["/store"]
