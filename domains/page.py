"""A page that needs nothing from outside: HTML built from elements, so that no text is ever markup.

Light and dark follow the reader's setting. A policy in the head forbids every request, script and form.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --paper: #ffffff; --line: #dde1e6; --ink: #1f2933; --faint: #5b6672;
  --ours: #0072b2; --theirs: #b6bfc9; --best: #d55e00; --pinned: #afdbf4; --sulphur: #9e7f00; --green: #007f26;
  --teal: #007f7f; --brown: #7f3f19; --red: #c62828; --blue: #2040c0; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --paper: #1c2229; --line: #36404a; --ink: #e4e9ee;
  --faint: #9aa7b4; --ours: #56b4e9; --theirs: #58646f; --best: #e69f00; --pinned: #1f4e68; --sulphur: #d9bf4a;
  --green: #5fcf80; --teal: #5fd0d0; --brown: #d59a6a; --red: #ff8a80; --blue: #9db4ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2.5rem 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; }
.note, figcaption, .card p { color: var(--faint); font-size: .875rem; }
code { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem 1.25rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; color: var(--faint); }
td.number { text-align: right; }
.scroll { overflow-x: auto; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: .75rem; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: .5rem .5rem .6rem; margin: 0;
  text-align: center; }
.card p { margin: 0; }
.card .figures { color: var(--ink); font-variant-numeric: tabular-nums; }
figure.chart { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: .75rem; margin: .5rem 0; }
svg * { stroke-linejoin: round; }
svg { display: block; width: 100%; height: auto; max-width: 100%; }
.chart svg { max-width: 52rem; margin: 0 auto; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .35em 0 .9em; }
summary { cursor: pointer; color: var(--faint); }
"""


def element(tag: str, *children: "ElementTree.Element | str", **attributes: str) -> ElementTree.Element:
    """An element; strings are text. `class_` is the attribute class."""
    made = ElementTree.Element(tag, {name.rstrip("_"): text(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, str):
            if len(made):
                made[-1].tail = (made[-1].tail or "") + text(child)
            else:
                made.text = (made.text or "") + text(child)
        else:
            made.append(child)
    return made


def text(value: str) -> str:
    """What HTML cannot hold, control characters and lone surrogates, as �."""
    return CONTROL.sub("�", value)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> ElementTree.Element:
    """Numbers to the right; everything else is text."""
    body = [element("tr", *(_cell(value) for value in row)) for row in rows]
    return element(
        "div",
        element("table", element("thead", element("tr", *(element("th", name) for name in head))), element("tbody", *body)),
        class_="scroll",
    )


def _cell(value: object) -> ElementTree.Element:
    if isinstance(value, ElementTree.Element):
        return element("td", value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return element("td", f"{value:,}" if isinstance(value, int) else f"{value:.2f}", class_="number")
    return element("td", str(value))


def picture(svg: str, name: str, label: str) -> ElementTree.Element:
    """SVG text that we have drawn ourselves as an element. `name` sets its ids apart, `label` says what it shows."""
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    root = ElementTree.fromstring(svg)
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
        node.attrib = {key: value for key, value in node.attrib.items() if not key.startswith("{")}
    for node in list(root.iter()):  # a style would hold for the whole page
        for child in [child for child in node if child.tag in ("metadata", "style")]:
            node.remove(child)
    for key in ("width", "height", "version", "baseProfile"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": text(label)}
    return root


def page(title: str, *content: ElementTree.Element) -> str:
    """The whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", **{"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", STYLE),
    )
    root = element("html", head, element("body", element("main", *content)), lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(root, encoding="unicode", method="html") + "\n"
