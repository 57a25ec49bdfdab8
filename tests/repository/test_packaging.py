"""`pip install .` brings everything that the app, ingest and queries need, and no torch."""

import email
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import token_trails

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "queries", "store", "views")
MODULES = ("app.py", "token_trails.py")
LOCKS = ("requirements-app.lock", "requirements.lock")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, without a network: setuptools comes from this environment."""
    clone = tmp_path_factory.mktemp("clone")
    for name in (*PACKAGES, ".streamlit"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*MODULES, "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next((clone / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as in a site-packages folder."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the wheel's content instead of the clone's."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_every_file_of_the_packages(site: Path) -> None:
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(name).suffix for name in ours} == {".py", ".sql", ".html", ".css", ".js"}
    packed = {str(p.relative_to(site)) for p in site.rglob("*") if p.is_file()}
    assert ours | set(MODULES) <= packed
    assert not any(name.startswith(("tests", "data", "build")) for name in packed)


def test_only_the_extra_ingest_needs_torch(site: Path) -> None:
    metadata = email.message_from_string(next(site.glob("*.dist-info/METADATA")).read_text("utf-8"))
    required = metadata.get_all("Requires-Dist") or []
    assert [r for r in required if r.startswith("torch")] == ['torch>=2.6; extra == "ingest"']
    models = ("transformers", "datasets", "safetensors", "tokenizers", "sentencepiece")
    assert all("extra" in r for r in required if r.startswith(models))


def test_an_installed_app_draws_a_page(site: Path) -> None:
    program = (
        "import sys, views\n"
        f"assert views.__file__.startswith({str(site)!r})\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"sys.argv = ['app.py', {str(ROOT / 'data' / 'demo')!r}]\n"
        f"app = AppTest.from_file({str(site / 'app.py')!r}, default_timeout=60).run()\n"
        "print(len(app.get('vega_lite_chart')), [error.value for error in app.exception])"
    )
    done = run(site, "-c", program)
    assert done.stdout.startswith("2 []"), done.stdout + done.stderr


def test_an_installed_app_listens_to_this_machine_only(site: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "token_trails", "app", str(ROOT / "data" / "demo")]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--no-browser"],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": str(site)},
        stdout=subprocess.DEVNULL,
    )
    try:
        assert answers(f"http://127.0.0.1:{port}/_stcore/health")
        with socket.socket() as other:  # the same port of all other addresses is free
            other.bind(("127.0.0.2", port))
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    for _ in range(240):
        try:
            return bool(urllib.request.urlopen(url, timeout=5).status == 200)
        except OSError:
            time.sleep(0.25)
    return False


def test_an_installed_app_has_the_settings_of_the_clone(site: Path) -> None:
    done = run(site, "-c", "import token_trails; print(*token_trails._settings(), sep='\\n')")
    flags = done.stdout.splitlines()
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    assert f"--server.address={settings['server']['address']}" in flags
    assert "--browser.gatherUsageStats=false" in flags
    assert f"--theme.dark.primaryColor={settings['theme']['dark']['primaryColor']}" in flags
    assert list(token_trails._settings()) == []  # in a clone, Streamlit reads the file


def test_the_console_script_runs_the_command_lines_of_the_packages() -> None:
    query = ["queries", "sql", str(ROOT / "data" / "demo"), "select count(*) as n from checkpoints"]
    answered = CliRunner().invoke(token_trails.cli, query)
    assert (answered.exit_code, answered.stdout) == (0, "n\n101\n")
    for package in ("queries", "ingest"):
        command = {"queries": ["zoom", "nowhere", "1", "2"], "ingest": ["verify", "nowhere"]}
        failed = CliRunner().invoke(token_trails.cli, [package, *command[package]])
        assert failed.exit_code == 2 and "nowhere" in failed.stderr


@pytest.mark.parametrize("package", ["queries", "ingest"])
def test_the_help_names_the_program_that_was_called(package: str) -> None:
    program = "import sys, token_trails; sys.argv[0] = 'token-trails'; token_trails.main()"
    done = run(ROOT, "-c", program, package, "--help")
    assert f"Usage: token-trails {package} [OPTIONS]" in done.stdout, done.stderr
    done = run(ROOT, "-m", package, "--help")
    assert f"Usage: python -m {package} [OPTIONS]" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["app", "nowhere"], "nowhere does not exist"),
        (["app", "data/demo", "--functions", "none.py"], "none.py does not exist"),
        (["app", "data/demo", "--port", "0"], "Invalid value for '--port'"),
        (["ap"], "Did you mean 'app'?"),
    ],
)
def test_a_mistake_gets_a_sentence(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(token_trails.cli, arguments)
    assert result.exit_code == 2
    assert sentence in result.output


def test_without_the_extra_a_sentence_says_how_to_install_it(site: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"  # as if not installed
        "sys.argv = ['token-trails', 'ingest', 'run', 'a', '--text', 'b', '--store', 'c']\n"
        "import token_trails; token_trails.main()"
    )
    done = run(site, "-c", program)
    assert done.returncode == 2
    assert 'pip install ".[ingest]"' in done.stderr and "Traceback" not in done.stderr


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_the_lock_files_pin_each_package_once() -> None:
    app, everything = (pins(lock) for lock in LOCKS)
    assert not set(app) & set(everything)
    assert "-r requirements-app.lock" in (ROOT / "requirements.lock").read_text("utf-8")
    assert "torch" in everything and "torch" not in app


def test_the_lock_files_hold_the_direct_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    app, rest = (set(pins(lock)) for lock in LOCKS)
    assert {name_of(r) for r in project["dependencies"]} <= app
    assert {name_of(r) for r in [*extras["ingest"], *extras["test"]]} <= app | rest


def name_of(requirement: str) -> str:
    """`typer>=0.29` -> `typer`."""
    name = requirement.split(">")[0].split("=")[0].split("[")[0]
    return name.strip().lower().replace("_", "-")


def test_the_environment_is_the_locked_one() -> None:
    from importlib.metadata import version

    for name, pinned in pins("requirements-app.lock").items():
        assert version(name) == pinned, f"{name}: run `make .venv/all`"
