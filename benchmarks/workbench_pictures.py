"""The pictures of docs/workbench.md: every page in light and dark, at 1280 and 1920 pixels, with the bundled models.

    python -m benchmarks.workbench_pictures --out docs

Needs playwright and a Chromium (SEQDIFF_CHROMIUM, /usr/bin/chromium).
"""

import argparse
import io
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from apps.workbench.examples import EXAMPLES, default_model
from apps.workbench.runner import Runner
from apps.workbench.store import Store
from benchmarks.workbench import CHROMIUM, FLAGS, PATIENCE, calm, served
from domains.registry import bundled_models

WIDTHS, THEMES = (1280, 1920), ("light", "dark")
LEAST, MOST = 720, 2600  # height
COLORS = 192  # of a picture's palette, so that it stays small
# Parts of the page that are loaded when they are first shown have come, and nothing is being checked.
DRAWN = "!document.querySelector('[data-testid=stSkeleton]') && !document.body.innerText.includes('Checking whether')"
DOMAINS = {"smiles": "Molecules", "protein": "Proteins", "text": "Text"}


def make_runs(url: str) -> None:
    """A run of each domain's first example, and a second one of molecules that came of the first."""
    store, models = Store(url), bundled_models()
    runner, found = Runner(store, models), {}
    for domain, examples in EXAMPLES.items():
        draft = examples[0].draft
        table = {**draft.table(), "model": default_model(domain, list(models)), "n": 12, "steps": 32}
        found[domain] = runner.submit(table, draft.title)
        if domain == "smiles":
            again = {**table, "n": 16, "constraint": "avoid(N-N)"}
            runner.submit(again, f"{draft.title}, no N–N", found[domain])
            store.mark(found[domain], 1, True, "easy to make")
    runner.finish()


def helix() -> bytes:
    """An α helix and a strand behind it as PDB: 1.5 Å and 100° a residue, then 3.3 Å."""
    from math import cos, radians, sin

    lines = []
    for k in range(36):
        if k < 22:
            x, y, z = 2.3 * cos(radians(100 * k)), 2.3 * sin(radians(100 * k)), 1.5 * k
        else:
            x, y, z = 6.0 + 0.9 * (k % 2), 2.0, 33.0 - 3.3 * (k - 21)
        place = f"{x:8.3f}{y:8.3f}{z:8.3f}"
        lines.append(f"ATOM  {k + 1:5d}  CA  ALA A{k + 11:4d}    {place}  1.00 10.00           C")
    return "\n".join([*lines, "END", ""]).encode()


class Album:
    """Pictures of one theme and width."""

    def __init__(self, tab: Any, address: str, out: Path, ending: str):
        self.tab, self.address, self.out, self.ending = tab, address, out, ending

    def take(self, name: str) -> None:
        from PIL import Image

        width = self.tab.viewport_size["width"]
        for height in (LEAST, None):  # as high as the page is
            tall = self.tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
            self.tab.set_viewport_size({"width": width, "height": height or min(MOST, max(LEAST, tall))})
            calm(self.tab)
            self.tab.wait_for_timeout(600)
            self.tab.wait_for_function(DRAWN)
        shot = Image.open(io.BytesIO(self.tab.screenshot())).convert("RGB")
        shot.quantize(COLORS).save(self.out / f"workbench-{name}-{self.ending}.png", optimize=True)

    def press(self, name: str) -> None:
        self.tab.get_by_role("button", name=name, exact=True).first.click()
        calm(self.tab)

    def go(self, page: str = "", run: str = "", seen: str = "") -> None:
        self.tab.goto(f"{self.address}/?page={page}&run={run}" if page else self.address)
        self.tab.get_by_text(seen or "Open an example").first.wait_for()
        calm(self.tab)


def draft_pages(album: Album, domain: str) -> None:
    """From an example to the start of a run."""
    album.go()
    if domain != "smiles":
        album.tab.get_by_text(DOMAINS[domain], exact=True).first.click()
        calm(album.tab)
    if domain == "smiles":
        album.take("start")
    end = "" if domain == "smiles" else f"-{DOMAINS[domain].lower()}"
    album.press("Open")
    album.tab.get_by_text("What stays").first.wait_for()
    if domain == "protein":
        album.tab.locator("input[type=file]").first.set_input_files(
            {"name": "motif.pdb", "mimeType": "chemical/x-pdb", "buffer": helix()}
        )
        album.tab.get_by_text("The chain by its").wait_for()
    album.take(f"template{end}")
    album.press("Next: rules and wishes")
    album.tab.get_by_text("Add a rule", exact=True).first.wait_for()
    album.tab.get_by_text("This can be designed.").wait_for()
    if domain == "smiles":
        album.press("Add this wish")
        album.tab.get_by_text("This can be designed.").wait_for()
    album.take(f"rules{end}")
    if domain == "smiles":
        album.press("Next: run")
        album.tab.get_by_text("Begin a run").first.wait_for()
        album.tab.get_by_text("This can be designed.").wait_for()
        album.take("begin")
        album.press("Start")
        album.tab.get_by_text("as it comes into being").wait_for()
        album.take("run")
        album.tab.get_by_role("button", name="Cancel").click()


def result_pages(album: Album, made: dict[str, str]) -> None:
    for domain in DOMAINS:
        end = "" if domain == "smiles" else f"-{DOMAINS[domain].lower()}"
        album.go("results", made[domain], "Look at design")
        album.take(f"results{end}")
        for name in ("Figures", "Files", "Run it elsewhere") if domain == "smiles" else ("Figures",):
            album.tab.get_by_role("tab", name=name).click()
            album.take(f"{name.split()[-1].lower()}{end}")


def compared(album: Album) -> None:
    album.go("runs", seen="Runs to lay side by side")
    for name in ("Vary a linker ·", "Vary a linker, no"):
        album.tab.get_by_label("Runs to lay side by side").click()
        album.tab.get_by_role("option").filter(has_text=name).last.click()  # the oldest
        calm(album.tab)
    album.tab.keyboard.press("Escape")
    album.take("runs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--folder", type=Path, default=Path("runs/workbench-pictures"), help="of the runs that are shown")
    parser.add_argument("--width", type=int, action="append", help="one of 1280, 1920")
    parser.add_argument("--theme", action="append", help="light or dark")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    for folder in (given.folder, given.out):
        folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        folder = given.folder.resolve()  # the workbench's process may stand elsewhere
        url = f"sqlite:///{folder / 'runs.db'}"
        if not (folder / "runs.db").exists():
            making = get_context("spawn").Process(target=make_runs, args=(url,))  # which gives its memory back
            making.start()
            making.join()
        titles = {row["title"]: row["id"] for row in Store(url).recent()}
        made = {domain: titles[EXAMPLES[domain][0].draft.title] for domain in DOMAINS}
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with served(folder) as (address, _, _):
            for width in given.width or WIDTHS:
                for theme in given.theme or THEMES:
                    view: Any = {"viewport": {"width": width, "height": LEAST}, "color_scheme": theme}
                    context = browser.new_context(**view)
                    context.set_default_timeout(5 * PATIENCE)
                    album = Album(context.new_page(), address, given.out, f"{theme}-{width}")
                    pages: list[Callable[[], None]] = [lambda d=domain, a=album: draft_pages(a, d) for domain in DOMAINS]
                    for take in (*pages, lambda a=album: result_pages(a, made), lambda a=album: compared(a)):
                        take()
                    context.close()


if __name__ == "__main__":
    main()
