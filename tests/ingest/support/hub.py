"""A Hub on the loopback: a model's repository and data sets, from folders; fails when told to."""

import hashlib
import json
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote

import pytest
from huggingface_hub import close_session, constants

from ingest.__main__ import main

WEIGHTS = (".safetensors", ".bin", ".parquet")
STALL = 8.0  # seconds; the client waits for 10


@dataclass
class Hub:
    """`refs` are the branches' folders by name, `faults` (a part of a path, what) in order.

    `datasets` are the folders of data sets by name, each at one commit.
    """

    repo: str
    refs: dict[str, Path]
    tags: dict[str, Path] = field(default_factory=dict)
    datasets: dict[str, Path] = field(default_factory=dict)
    faults: deque[tuple[str, str]] = field(default_factory=deque)
    requests: list[str] = field(default_factory=list)
    listed: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    url: str = ""

    def folder(self, revision: str) -> Path | None:
        named = {**self.tags, **self.refs}
        return named.get(revision) or {commit_of(n): f for n, f in named.items()}.get(revision)

    def fault(self, path: str) -> str:
        for fault in self.faults:
            if fault[0] in path:
                self.faults.remove(fault)
                return fault[1]
        return ""


def commit_of(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def blob(content: bytes) -> str:
    """git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path: Path) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "file",
        "path": path.name,
        "size": path.stat().st_size,
        "oid": blob(path.read_bytes()),
    }
    if path.suffix in WEIGHTS:
        found["lfs"] = {"oid": sha256(path), "size": found["size"], "pointerSize": 130}
    return found


def entries(folder: Path) -> dict[str, dict[str, object]]:
    """All files and folders of a data set by their paths, as a listing gives them."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        oid = hashlib.sha1(name.encode()).hexdigest()
        facts = entry(path) if path.is_file() else {"type": "directory", "oid": oid, "size": 0}
        found[name] = {**facts, "path": name}
    return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        fault = self.hub.fault(f"{self.command} {path}")
        if fault == "stall":
            time.sleep(STALL)
        if fault == "reset":
            self.reset()
        elif fault.isdigit():
            self.answer(int(fault), b"", {"Retry-After": "1"} if fault == "429" else {})
        else:
            self.serve(path, fault)

    def serve(self, path: str, fault: str) -> None:
        repo = self.hub.repo
        if path == f"/api/models/{repo}/refs":
            self.answer(200, json.dumps(self.refs()).encode())
        elif info := re.fullmatch(rf"/api/models/{repo}/revision/([^/]+)", path):
            self.answer(200, json.dumps({"id": repo, "sha": commit_of(info[1])}).encode())
        elif tree := re.fullmatch(rf"/api/models/{repo}/tree/([^/]+)", path):
            self.tree(tree[1])
        elif file := re.fullmatch(rf"/{repo}/resolve/([^/]+)/(.+)", path):
            self.file(self.hub.folder(file[1]), file[1], file[2], fault)
        elif data := re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+)(/.+)?", path):
            self.dataset(data[1], unquote(data[2] or ""), fault)
        else:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def refs(self) -> dict[str, list[dict[str, str]]]:
        kinds = {"branches": self.hub.refs, "tags": self.hub.tags, "converts": {}}
        return {
            kind: [
                {"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": commit_of(n)}
                for n in sorted(names)
            ]
            for kind, names in kinds.items()
        }

    def tree(self, revision: str) -> None:
        folder = self.hub.folder(revision)
        if folder is None:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        listed = self.hub.listed.setdefault(
            str(folder), [entry(p) for p in sorted(folder.iterdir()) if p.is_file()]
        )
        self.answer(200, json.dumps(listed).encode())

    def dataset(self, repo: str, rest: str, fault: str) -> None:
        """Facts of a data set, its listing, facts of named files, and its files."""
        folder, commit = self.hub.datasets.get(repo), commit_of(repo)
        what, _, revision_and_path = rest.removeprefix("/").partition("/")
        revision, _, name = revision_and_path.partition("/")
        if folder is None:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("", "main", commit):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif what == "resolve":
            self.file(folder, commit, name, fault)
        elif what in ("tree", "paths-info"):
            self.answer(200, json.dumps(self.listed_in(folder, what, name)).encode())
        else:
            names = [{"rfilename": n} for n in entries(folder) if (folder / n).is_file()]
            facts = {"id": repo, "sha": commit, "siblings": names, "tags": [], "private": False}
            self.answer(200, json.dumps(facts).encode())

    def listed_in(self, folder: Path, what: str, below: str) -> list[dict[str, object]]:
        if what == "paths-info":
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            wanted = parse_qs(body)["paths"] if "=" in body else json.loads(body)["paths"]
            return [e for n, e in entries(folder).items() if n in wanted]
        deep = "recursive=true" in self.path.lower()
        inside = {
            n: e for n, e in entries(folder).items() if n.startswith(f"{below}/" * bool(below))
        }
        return [e for n, e in inside.items() if deep or str(Path(n).parent) == (below or ".")]

    def file(self, folder: Path | None, revision: str, name: str, fault: str) -> None:
        if folder is None or not (folder / name).exists():
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = (folder / name).read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": revision}
        if name.endswith(WEIGHTS):
            headers["X-Linked-Etag"] = f'"{sha256(folder / name)}"'
        start = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if start:
            last = min(int(start[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {start[1]}-{last}/{len(content)}"
            content = content[int(start[1]) : last + 1]
        if fault == "damage":
            content = bytes(len(content))
        self.answer(206 if start else 200, content, headers, cut=fault)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut in ("truncate", "tear") else body)
        if cut == "tear":
            self.reset()
        self.close_connection = self.close_connection or cut == "truncate"

    def reset(self) -> None:
        # Lingering for no time makes closing a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True


@contextmanager
def serving(hub: Hub, kind: type[Handler] = Handler) -> Iterator[Hub]:
    """The hub, answering at its url."""
    handler = type("Bound", (kind,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()


def use(patch: pytest.MonkeyPatch, url: str, home: Path) -> None:
    """The real client, in this process, asks this Hub; huggingface_hub reads these at each call."""
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    patch.setattr(constants, "HF_HOME", str(home))
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    close_session()


def main_with(url: str, home: Path, arguments: list[str]) -> int:
    """`python -m ingest …` in a process of its own, which needs no undoing."""
    os.environ |= {"HF_ENDPOINT": url, "HF_HOME": str(home)}  # which `datasets` reads when loaded
    use(pytest.MonkeyPatch(), url, home)
    return main(arguments)
