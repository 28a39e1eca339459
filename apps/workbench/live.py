"""Pictures that answer: one whose atoms, residues or words can be pressed, and the path of a chain that can be turned.

Their scripts are part of this module and are given numbers and pictures alone, never text as markup.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

Spot = tuple[int, float, float, float, float]  # position from 1; left, top, width and height as shares of the picture

SPOTS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const box = parentElement.querySelector(".box");
  const picture = document.createElement("img");
  picture.src = data.picture;
  picture.alt = "";
  box.style.width = data.width + "px";
  box.replaceChildren(picture);
  for (const [position, left, top, width, height] of data.spots) {
    const spot = document.createElement("button");
    const [x, y, across, down] = [left, top, width, height].map((share) => 100 * share + "%");
    Object.assign(spot.style, { left: x, top: y, width: across, height: down });
    spot.setAttribute("aria-label", data.unit + " " + position);
    spot.title = data.unit + " " + position;
    if (data.from <= position && position <= data.to) spot.className = "chosen";
    spot.onclick = () => setTriggerValue("pressed", position);
    box.append(spot);
  }
}
"""
SPOTS_STYLE = """
.box { position: relative; max-width: 100%; }
.box img { display: block; width: 100%; height: auto; }
.box button { position: absolute; padding: 0; background: none; border: 2px solid transparent; border-radius: 6px; }
.box button { cursor: pointer; }
.box button:hover, .box button:focus-visible { border-color: #0072b2; outline: none; }
.box button.chosen { border-color: #d55e00; }
"""

# Points are turned by two angles and drawn from the farthest to the nearest; nearer is thicker and darker.
PATH = """
export default function ({ data, parentElement }) {
  const canvas = parentElement.querySelector("canvas");
  const turn = (canvas.turn ??= { across: 0.25, down: -0.25, size: 1 });
  const radius = Math.max(1, ...data.points.map(([x, y, z]) => Math.hypot(x, y, z)));
  function draw() {
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const [ca, sa, cd, sd] = [Math.cos(turn.across), Math.sin(turn.across), Math.cos(turn.down), Math.sin(turn.down)];
    const zoom = (turn.size * 0.46 * Math.min(width, height)) / radius;
    const seen = data.points.map(([x, y, z]) => {
      const [u, w] = [ca * x + sa * z, ca * z - sa * x];
      return [width / 2 + zoom * u, height / 2 - zoom * (cd * y - sd * w), (cd * w + sd * y) / radius];
    });
    const lines = [];
    for (let i = 1; i < seen.length; i++) {
      if (data.joined[i]) lines.push([seen[i - 1], seen[i], data.kept[i - 1] && data.kept[i]]);
    }
    lines.sort((a, b) => a[0][2] + a[1][2] - b[0][2] - b[1][2]);
    pen.lineCap = "round";
    for (const [a, b, kept] of lines) {
      const near = (a[2] + b[2] + 2) / 4;
      pen.strokeStyle = kept ? `rgba(0, 114, 178, ${0.35 + 0.65 * near})` : `rgba(123, 135, 148, ${0.2 + 0.6 * near})`;
      pen.lineWidth = (kept ? 3 : 1.5) + (kept ? 5 : 2.5) * near;
      pen.beginPath();
      pen.moveTo(a[0], a[1]);
      pen.lineTo(b[0], b[1]);
      pen.stroke();
    }
    pen.fillStyle = getComputedStyle(canvas).color;
    pen.font = "13px sans-serif";
    for (const [i, name] of data.names) pen.fillText(name, seen[i][0] + 8, seen[i][1] - 6);
  }
  let held = null;
  canvas.onpointerdown = (event) => { held = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); };
  canvas.onpointerup = () => { held = null; };
  canvas.onpointermove = (event) => {
    if (!held) return;
    turn.across += (event.clientX - held[0]) / 120;
    turn.down += (event.clientY - held[1]) / 120;
    held = [event.clientX, event.clientY];
    draw();
  };
  canvas.onkeydown = (event) => {
    const [back, on] = [-0.15, 0.15];
    const steps = { ArrowLeft: ["across", back], ArrowRight: ["across", on], ArrowUp: ["down", back], ArrowDown: ["down", on] };
    if (event.key === "+" || event.key === "-") turn.size *= event.key === "+" ? 1.15 : 1 / 1.15;
    else if (steps[event.key]) turn[steps[event.key][0]] += steps[event.key][1];
    else return;
    event.preventDefault();
    draw();
  };
  const watch = new ResizeObserver(draw);
  watch.observe(canvas);
  return () => watch.disconnect();
}
"""
PATH_STYLE = """
canvas { width: 100%; height: 340px; touch-action: none; cursor: grab; color: var(--st-text-color); border-radius: 10px; }
canvas:focus-visible { outline: 2px solid #0072b2; }
"""


@lru_cache(maxsize=1)
def _spots() -> Any:
    from streamlit.components.v2 import component

    return component("seqdiff_spots", html='<div class="box"></div>', css=SPOTS_STYLE, js=SPOTS)


@lru_cache(maxsize=1)
def _path() -> Any:
    from streamlit.components.v2 import component

    return component("seqdiff_path", html='<canvas tabindex="0"></canvas>', css=PATH_STYLE, js=PATH)


def spots(
    picture: str, places: list[Spot], unit: str, chosen: tuple[int, int], key: str, width: int, on_press: Callable[[int], None]
) -> None:
    """A picture (an address of `pictures.data_uri`) whose positions can be pressed; the chosen ones are framed."""
    import streamlit as st

    def pressed() -> None:
        position = st.session_state[key].get("pressed")
        if position is not None:
            on_press(int(position))

    data = {"picture": picture, "spots": places, "unit": unit, "from": chosen[0], "to": chosen[1], "width": width}
    _spots()(data=data, key=key, on_pressed_change=pressed)


def path(
    points: list[tuple[float, float, float]], joined: list[bool], kept: list[bool], names: list[tuple[int, str]], key: str
) -> None:
    """The path of a chain, to be turned with the mouse or the arrow keys; what is kept in blue.

    Args:
        points: a place for each residue, in ångströms. joined: whether the chain goes on to it from the one before.
        names: (residue from 0, what is written beside it).
    """
    _path()(data={"points": lying(points), "joined": joined, "kept": kept, "names": names}, key=key)


def lying(points: list[tuple[float, float, float]]) -> list[list[float]]:
    """The points about their middle, turned so that they spread most across and least into the depth; no mirror image."""
    import numpy as np

    centred = np.asarray(points) - np.mean(points, axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2]
    axes[2] *= np.sign(np.linalg.det(axes)) or 1.0
    return (centred @ axes.T).round(2).tolist()
