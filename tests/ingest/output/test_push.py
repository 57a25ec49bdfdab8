"""A store on the Hub: pushed with the real client, opened again, whatever happens on the way."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import huggingface_hub
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem, constants

from ingest.__main__ import main
from ingest.output import push as pushing
from ingest.sources import retries
from queries import Store
from queries.engine import remote
from queries.errors import StoreError
from store.layout import Layout
from tests.ingest.conftest import Ingest
from tests.ingest.support.hub import Hub, serving, sha256, use
from tests.ingest.support.uploads import Uploads
from tests.queries.support.stores import add_checkpoint, build_store, random_losses

REPO = "owner/losses"
URL = f"hf://datasets/{REPO}"
GROUPS = {"early": "position < 10", "all": "true"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub; the client asks it and waits little."""
    monkeypatch.setattr(retries, "DELAYS", (0.01,) * 3)
    monkeypatch.setattr(remote, "DELAYS", (0.01,) * 3)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("TOKEN_TRAILS_CACHE", str(tmp_path / "cache"))
    served: Any = type("Served", (Uploads,), {"folder": tmp_path / "hub", "visibility": {}})
    with serving(Hub("owner/none", {}), served) as found:
        use(monkeypatch, found.url, tmp_path / "home")
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        HfFileSystem.clear_instance_cache()
        yield found
        HfFileSystem.clear_instance_cache()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return build_store(tmp_path / "own", sources=6, steps=tuple(range(12)), longest=200)


def published(hub: Hub) -> dict[str, str]:
    """Name -> sha256 of the files of the data set."""
    folder = hub.datasets[REPO]
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): sha256(p) for p in files}


def content(root: Path) -> dict[str, str]:
    files = [p for p in root.rglob("*") if p.is_file() and p.suffix in (".json", ".parquet")]
    return {p.relative_to(root).as_posix(): sha256(p) for p in files}


def test_a_pushed_store_answers_as_the_folder_does(hub: Hub, own: Path, ingest: Ingest) -> None:
    assert ingest("push", own, URL).status == 0
    assert content(own).items() <= published(hub).items()
    here, there = Store(own), Store(URL)
    assert there.trajectories(GROUPS).equals(here.trajectories(GROUPS))
    assert there.path != own


def test_the_first_answers_need_a_small_part_of_the_bytes(
    hub: Hub, own: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(100, 160):
        add_checkpoint(own, step, random_losses(own, step))
    assert ingest("push", own, URL).status == 0
    monkeypatch.setattr(remote.RemoteCopy, "_start", lambda self: None)  # nothing in the background
    store = Store(URL)
    assert len(store.members("position = 5")) > 0
    assert len(store.checkpoints) == 72
    asked = [r.partition("/resolve/main/")[2] for r in hub.requests if r.startswith("GET")]
    names = {name for name in asked if name}
    assert names == {"manifest.json", "checkpoints.parquet", "docs.parquet", "tokens.parquet"}
    sizes = {n: (hub.datasets[REPO] / n).stat().st_size for n in published(hub)}
    assert sum(sizes[name] for name in names) < 0.2 * sum(sizes.values())


def test_it_is_private_unless_public_is_asked_for(hub: Hub, own: Path, ingest: Ingest) -> None:
    seen: dict[str, str] = {}
    create = Uploads.create

    def noted(self: Uploads, asked: dict[str, Any]) -> None:
        seen[asked["name"]] = asked.get("visibility", "public")
        create(self, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Uploads, "create", noted)
        assert ingest("push", own, URL).status == 0
        assert ingest("push", own, "hf://datasets/owner/open", "--public").status == 0
    assert seen == {"losses": "private", "open": "public"}


def test_the_card_describes_the_data(hub: Hub, own: Path, ingest: Ingest) -> None:
    assert ingest("push", own, URL).status == 0
    card = huggingface_hub.DatasetCard.load(hub.datasets[REPO] / "README.md")
    configs = {c["config_name"]: c["data_files"] for c in card.data.to_dict()["configs"]}
    assert configs["losses"] == "losses/*.parquet"
    assert set(configs) == {"losses", "tokens", "docs", "checkpoints"}
    for names in (pq.read_schema(path).names for path in (Layout(own).tokens,)):
        assert [n for n in names if n not in card.text] == []
    figure = (hub.datasets[REPO] / "figures" / "mean-loss.svg").read_text()
    assert "](figures/mean-loss.svg)" in card.text and "training step" in figure


def test_only_what_is_new_is_sent_again(
    hub: Hub, own: Path, ingest: Ingest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest("push", own, URL).status == 0
    assert main(["push", str(own), URL]) == 0
    assert "0 of them sent" in capsys.readouterr().out
    add_checkpoint(own, 5000, random_losses(own, 1))
    hub.requests.clear()
    assert ingest("push", own, URL).status == 0
    assert sum(r.startswith("PUT /lfs/") for r in hub.requests) == 2  # losses and checkpoints
    assert Store(URL).trajectories(GROUPS).equals(Store(own).trajectories(GROUPS))


@pytest.mark.parametrize("requests", [2, 9, 17])
def test_a_killed_push_resumes(
    requests: int, hub: Hub, own: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with the n-th upload or commit on its way."""
    monkeypatch.setattr(pushing, "_FILES", 4)
    sent = 0
    commit = huggingface_hub.HfApi.create_commit

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal sent
        sent += 4
        if sent >= requests:
            os.kill(os.getpid(), SIGKILL)
        return commit(*arguments, **named)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", counted)
        main(["push", str(own), URL])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -SIGKILL
    before = published(hub)
    assert not content(own).items() <= before.items()
    hub.requests.clear()
    assert ingest("push", own, URL).status == 0
    assert content(own).items() <= published(hub).items()
    n_large = sum(name.endswith(".parquet") for name in content(own).keys() - before.keys())
    assert sum(r.startswith("PUT /lfs/") for r in hub.requests) <= n_large
    assert Store(URL).trajectories(GROUPS).equals(Store(own).trajectories(GROUPS))


@pytest.mark.parametrize("fault", ["429", "503", "reset"])
@pytest.mark.parametrize(
    "path", ["/repos/create", "/preupload/", "/batch", "PUT /lfs/", "/commit/"]
)
def test_what_fails_for_a_passing_reason_is_sent_again(
    fault: str, path: str, hub: Hub, own: Path, ingest: Ingest
) -> None:
    hub.faults.append((path, fault))
    ended = ingest("push", own, URL)
    assert ended.status == 0, ended.error
    assert not hub.faults
    assert content(own).items() <= published(hub).items()


@pytest.mark.parametrize("fault", ["429", "503", "reset", "truncate"])
def test_downloads_are_tried_again(fault: str, hub: Hub, own: Path, ingest: Ingest) -> None:
    assert ingest("push", own, URL).status == 0
    hub.faults += [("/tree/", fault), ("manifest.json", fault), ("000000003.parquet", fault)]
    assert Store(URL).trajectories(GROUPS).equals(Store(own).trajectories(GROUPS))
    assert len(hub.faults) < 3


def test_unusable_places_get_a_sentence(
    hub: Hub, own: Path, ingest: Ingest, tmp_path: Path
) -> None:
    assert "expected hf://datasets/OWNER/NAME" in ingest("push", own, "owner/losses").error
    assert "no manifest.json" in ingest("push", tmp_path, URL).error
    assert ingest("push", own, URL).status == 0
    other = build_store(tmp_path / "other", sources=3, seed=5)
    assert "holds another store (token_fingerprint" in ingest("push", other, URL).error
    hub.faults.append(("/repos/create", "403"))
    assert "log in with `hf auth login`" in ingest("push", own, "hf://datasets/a/b").error
    shutil.rmtree(hub.datasets[REPO])


def test_without_a_network_it_says_so_at_once(
    hub: Hub, own: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unresolved(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(remote, "DELAYS", (600.0,))
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    ended = ingest("push", own, URL)
    assert ended.status == 2 and "is this machine connected to the network?" in ended.error
    with pytest.raises(StoreError, match="is this machine connected"):
        Store(URL)


def test_load_dataset_reads_what_the_card_says(hub: Hub, own: Path, ingest: Ingest) -> None:
    """From a copy of the data set's files, as the Hub's viewer does."""
    datasets = pytest.importorskip("datasets")
    assert ingest("push", own, URL).status == 0
    folder = str(hub.datasets[REPO])
    cache = str(own.parent / "datasets")
    losses = datasets.load_dataset(folder, split="train", cache_dir=cache)
    expected = Store(own).frame()["loss"].to_numpy()
    assert losses.column_names == pq.read_schema(Layout(own).loss_file(0)).names
    assert (losses.with_format("numpy")["loss"][:] == expected).all()
    tokens = datasets.load_dataset(folder, "tokens", split="train", cache_dir=cache)
    assert tokens.num_rows == Store(own).manifest.n_tokens
