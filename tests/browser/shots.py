"""Take screenshots: `python -m tests.browser.shots FOLDER [--every]`; README's, or all of them."""

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from tests.bench.large import build
from tests.browser.actions import groups
from tests.browser.conftest import DEMO, ROOT, launch, new_context, running, settled

TWELVE = groups(
    "all_tokens",
    "word_start",
    "word_continuation",
    "copyable",
    "not_copyable",
    "position_50",
    "position_500",
    "early_positions",
    "late_positions",
    "regexp_matches(token_str, '^ [A-Z]')",
    "corpus_count < 10",
    "word in ('Congress', 'Government', 'people', 'country', 'war')",
)


@dataclass(frozen=True)
class Look:
    """A page's address, and how its screenshot is taken."""

    path: str
    scheme: Literal["light", "dark"] = "light"
    width: int = 1280
    store: str = "demo"
    press: str = ""


IN_README = {
    "trajectories": Look("/?events=all+tokens"),
    "zoom": Look("/zoom"),
    "text": Look("/text?token=39174"),
    "positions": Look("/positions"),
}
LOOKS = IN_README | {
    "trajectories-dark": Look("/", "dark"),
    "trajectories-narrow": Look("/", width=1024),
    "trajectories-12": Look(f"/?{TWELVE}"),
    "trajectories-12-dark": Look(f"/?{TWELVE}", "dark"),
    "trajectories-ratio": Look("/?compare=ratio&axis=linear&smooth=0.1"),
    "trajectories-609": Look(f"/?{groups('word_start', 'position = 500')}", store="report"),
    "trajectories-empty": Look(f"/?{groups('position > 9999')}"),
    "trajectories-error": Look(f"/?{groups('positoin = 50', 'copyable')}"),
    "add-group": Look("/", press="Add group"),
    "add-group-dark": Look("/", "dark", press="Add group"),
    "data-picture-sql": Look("/", press="Data, picture, SQL"),
    "zoom-dark": Look("/zoom", "dark"),
    "zoom-narrow": Look("/zoom?lists_of=types", width=1024),
    "zoom-609": Look("/zoom", store="report"),
    "zoom-error": Look("/zoom?region=1000-0"),
    "text-dark": Look("/text?token=340", "dark"),
    "text-loss-narrow": Look("/text?colour=loss", width=1024),
    "text-group-dark": Look("/text?colour=group", "dark"),
    "text-1023": Look("/text?token=500", store="report"),
    "text-error": Look("/text?region=1000-0"),
    "sql": Look("/sql?query=from+trajectory('copyable')&y=mean_loss"),
    "sql-dark": Look("/sql?query=from+trajectory('copyable')&y=mean_loss", "dark"),
    "sql-narrow": Look(
        "/sql?query=from+losses+limit+20000&x=position&y=loss&mark=points", width=1024
    ),
    "sql-empty": Look("/sql"),
    "sql-error": Look("/sql?query=select+positoin+from+tokens"),
    "tour": Look("/tour"),
    "tour-dark": Look("/tour", "dark", 1024),
    "matched": Look("/matched"),
    "matched-dark": Look("/matched?on=initial_loss&on=token_str", "dark", 1024),
    "matched-error": Look("/matched?focus=true"),
    "matched-609": Look("/matched", store="report"),
    "clusters": Look("/clusters?cluster=true"),
    "clusters-start": Look("/clusters", width=1024),
    "clusters-rho-dark": Look("/clusters?grouped=by+Rho-1's+four+categories", "dark"),
    "clusters-609": Look("/clusters?cluster=true", store="report"),
    "positions-dark": Look("/positions?colour=minus+the+mean+of+its+step", "dark", 1024),
    "positions-609": Look("/positions", store="report"),
    "ngrams": Look("/ngrams"),
    "ngrams-dark": Look("/ngrams", "dark", 1024),
    "mechanism": Look("/mechanism?region=1000-3000"),
    "mechanism-dark": Look("/mechanism", "dark"),
    "mechanism-empty": Look("/mechanism", store="report"),
    "report": Look("/report"),
    "report-dark": Look("/report", "dark", 1024),
    "events": Look("/events"),
    "explain-dark": Look("/explain", "dark", 1024),
    "overlap": Look("/overlap"),
    "type-changes-dark": Look("/type_changes", "dark"),
    "rho-1": Look("/rho_1", width=1024),
    "compare": Look("/compare"),
    "no-store": Look("/", store="none"),
}


def main(folder: Path, every: bool) -> None:
    """Write one PNG per screenshot into `folder`."""
    looks = LOOKS if every else IN_README
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as empty:
        browser = launch(playwright)
        for store in sorted({look.store for look in looks.values()}):
            with contextmanager(running)(_folder(store, Path(empty))) as url:
                for name, look in looks.items():
                    if look.store == store:
                        _shoot(browser, url, look, folder / f"{name}.png")


def _folder(store: str, empty: Path) -> Path:
    if store == "report":
        return build("report", ROOT / "build")
    return DEMO if store == "demo" else empty


def _shoot(browser: Browser, url: str, look: Look, path: Path) -> None:
    context = new_context(browser, look.width, color_scheme=look.scheme)
    page = context.new_page()
    page.goto(url + look.path)
    settled(page)
    if look.press:
        page.get_by_role("button", name=look.press).first.click()
    else:
        box = page.locator('[data-testid="stMainBlockContainer"]').bounding_box()
        assert box
        page.set_viewport_size({"width": look.width, "height": int(box["height"]) + 20})
    settled(page)
    page.screenshot(path=path)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), every="--every" in sys.argv)
