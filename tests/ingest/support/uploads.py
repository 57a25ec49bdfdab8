"""The part of a Hub that data sets are uploaded to, over HTTP: `serving(hub, Uploads)`."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from tests.ingest.support.hub import WEIGHTS, Handler, blob, commit_of, sha256


class Uploads(Handler):
    """`Handler` with repositories that can be created and committed to.

    Each new data set gets a folder in `folder`. Faults are as for downloads.
    """

    folder: Path
    visibility: dict[str, str]

    def do_PUT(self) -> None:  # noqa: N802
        self.do_POST()

    def do_POST(self) -> None:  # noqa: N802
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def serve(self, path: str, fault: str) -> None:
        if path == "/api/repos/create":
            self.create(json.loads(self.body))
        elif path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif data := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/preupload/main", path):
            self.reply({"files": [self.mode(data[1], f) for f in json.loads(self.body)["files"]]})
        elif data := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self.reply({"objects": [self.upload(o) for o in json.loads(self.body)["objects"]]})
        elif stored := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self.store(stored[1])
        elif data := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/commit/main", path):
            self.commit(data[1])
        else:
            super().serve(path, fault)

    def create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.hub.datasets:
            url = f"{self.hub.url}/datasets/{repo}"
            self.answer(409, json.dumps({"error": "it exists", "url": url}).encode())
            return
        self.hub.datasets[repo] = self.folder / repo.replace("/", "--")
        self.hub.datasets[repo].mkdir(parents=True)
        self.visibility[repo] = asked.get("visibility", "public")
        self.reply({"url": f"{self.hub.url}/datasets/{repo}"})

    def mode(self, repo: str, file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith(WEIGHTS)
        there = self.hub.datasets[repo] / file["path"]
        oid = (sha256(there) if large else blob(there.read_bytes())) if there.exists() else None
        mode = "lfs" if large else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if (self.folder / "lfs" / wanted["oid"]).exists():
            return wanted
        action = {"href": f"{self.hub.url}/lfs/{wanted['oid']}", "header": {}}
        return {**wanted, "actions": {"upload": action}}

    def store(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        path = self.folder / "lfs" / oid
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.body)
        self.answer(200, b"")

    def commit(self, repo: str) -> None:
        for line in self.body.splitlines():
            value = json.loads(line)["value"]
            if "path" not in value:
                continue
            path = self.hub.datasets[repo] / value["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if "oid" in value:
                path.write_bytes((self.folder / "lfs" / value["oid"]).read_bytes())
            else:
                path.write_bytes(base64.b64decode(value["content"]))
        url = f"{self.hub.url}/datasets/{repo}/commit/{commit_of(repo)}"
        self.reply({"commitUrl": url, "commitOid": commit_of(repo)})

    def reply(self, found: dict[str, Any]) -> None:
        self.answer(200, json.dumps(found).encode())
