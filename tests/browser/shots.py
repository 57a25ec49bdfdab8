"""Make the screenshots of README: `python -m tests.browser.shots FOLDER`."""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import DEMO, launch, settled, start_app

LOOKS = {
    "trajectories": ("/", "light", 1280),
    "zoom": ("/zoom", "light", 1280),
    "trajectories-dark": ("/", "dark", 1280),
    "zoom-dark": ("/zoom", "dark", 1280),
    "trajectories-narrow": ("/", "light", 1024),
    "error": ("/?baseline=Write+SQL+%E2%80%A6&baseline_sql=positoin+%3D+50", "light", 1280),
}
IN_README = ("trajectories", "zoom")


def main(folder: Path, every: bool) -> None:
    """Write one PNG per look into `folder`."""
    process, url = start_app(str(DEMO))
    try:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            for name, (path, scheme, width) in LOOKS.items():
                if not every and name not in IN_README:
                    continue
                context = browser.new_context(
                    viewport={"width": width, "height": 1000}, color_scheme=scheme
                )
                page = context.new_page()
                page.goto(url + path)
                settled(page)
                height = page.locator('[data-testid="stMainBlockContainer"]').bounding_box()
                if height:
                    page.set_viewport_size({"width": width, "height": int(height["height"]) + 20})
                page.wait_for_timeout(1_500)
                page.screenshot(path=folder / f"{name}.png")
                context.close()
    finally:
        process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), every="--every" in sys.argv)
