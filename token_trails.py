"""The console script `token-trails`: open the app, score checkpoints, query a store.

`token-trails ingest` is `python -m ingest`, and `token-trails queries` is `python -m queries`. Each
package is imported only when its command is called, so that the app and the queries need no torch.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

APP = Path(__file__).with_name("app.py")
SETTINGS = Path(".streamlit", "config.toml")
"""Streamlit's settings: next to `app.py` in a clone, otherwise among the installed data files."""

PACKAGES = {"ingest": "ingest.__main__", "queries": "queries.__main__"}
"""Command -> module with the typer app `app` and the function `main`."""

OURS = {"app", "ingest", "queries", "store", "token_trails", "views"}
PASS_ON = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "ignore_unknown_options": True,
    "help_option_names": [],  # `token-trails queries --help` is answered by queries
}


class LazyGroup(TyperGroup):
    """Commands of which some belong to a package that is imported only when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command. Shell completion gets the package's own commands and options."""
        name, command, rest = super().resolve_command(ctx, args)
        if ctx.resilient_parsing and name in PACKAGES:
            command = typer.main.get_command(importlib.import_module(PACKAGES[name]).app)
        return name, command, rest


cli = typer.Typer(
    name="token-trails",
    cls=LazyGroup,
    help="Store the loss of every token at every training checkpoint, and study how groups of "
    "tokens were learned.",
    epilog="Start with `token-trails app data/demo` in a clone of the repository.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@cli.command("app")
def open_app(
    stores: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STORE…", help="Stores, or folders of stores: paths or fsspec URLs."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the web server.")] = 8501,
    address: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Other than 127.0.0.1, other machines can connect."
        ),
    ] = "127.0.0.1",
    functions: Annotated[
        Path | None, typer.Option(help="A .py file with Python functions for groups.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a web browser.")] = True,
) -> None:
    """Open the app on one or more stores."""
    stores = stores or _demo()
    _check_exists(*stores, *([str(functions)] if functions else []))
    from streamlit.web.cli import main as streamlit

    flags = [*_settings(), f"--server.port={port}", f"--server.address={address}"]
    if not browser:
        flags.append("--server.headless=true")
    chosen = ["--functions", str(functions)] if functions else []
    streamlit(["run", str(APP), *flags, "--", *stores, *chosen])


def _demo() -> list[str]:
    demo = APP.parent / "data" / "demo"
    if not demo.exists():  # it is not part of an installation
        _fail("no store was given: expected `token-trails app STORE`")
    return [str(demo)]


def _check_exists(*paths: str) -> None:
    for path in paths:
        if "://" not in path and not Path(path).exists():
            _fail(f"{path} does not exist: expected an existing path, as in data/demo")


def _settings() -> Iterator[str]:
    """Streamlit's settings as flags; none in a clone, where Streamlit finds the file itself."""
    if APP.with_name(SETTINGS.parent.name).joinpath(SETTINGS.name).exists():
        return
    installed = importlib.metadata.files("token-trails") or []
    path = next(file.locate() for file in installed if file.name == SETTINGS.name)
    with Path(str(path)).open("rb") as file:
        yield from _flags(tomllib.load(file))


def _flags(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """A flag `--section.name=value` for each setting; lists and booleans are written as JSON."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flags(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"--{prefix}{name}={text}"


@cli.command("ingest", context_settings=PASS_ON, add_help_option=False)
def ingest(context: typer.Context) -> None:
    """Score training checkpoints on a text and write a store. Needs torch."""
    _run("ingest", context.args)


@cli.command("queries", context_settings=PASS_ON, add_help_option=False)
def queries(context: typer.Context) -> None:
    """Query a store: trajectories, differences, zooms, analyses, SQL."""
    _run("queries", context.args)


def _run(package: str, arguments: list[str]) -> NoReturn:
    """Run a package's command line and end with its exit status."""
    try:
        status = importlib.import_module(PACKAGES[package]).main(arguments)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if package != "ingest" or missing in OURS:
            raise
        _fail(
            f"this command needs the package {missing}, which is not installed. Install the extra "
            '`ingest`: in a clone of the repository, run `pip install ".[ingest]"`'
        )
    if status == 130:  # interrupted: end now, without waiting for a download in another thread
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="token-trails")


if __name__ == "__main__":
    main()
