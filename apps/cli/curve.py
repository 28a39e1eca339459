"""The loss curve of a run as a picture."""

from pathlib import Path


def draw_curve(log: list[dict], path: Path) -> None:
    """Training loss (smoothed) and the held-out bounds of each class against steps, with two standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    steps, loss = [r["step"] for r in log], [r["loss"] for r in log]
    smooth, average = [], None
    for value in loss:
        average = value if average is None else 0.95 * average + 0.05 * value
        smooth.append(average)
    axis.plot(steps, smooth, color="0.6", lw=1, label="training loss, smoothed")
    names = sorted({key.removeprefix("bound/") for r in log for key in r if key.startswith("bound/")})
    for name, color in zip(names, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=False):
        rows = [r for r in log if f"bound/{name}" in r]
        x, y = [r["step"] for r in rows], [r[f"bound/{name}"] for r in rows]
        axis.errorbar(
            x,
            y,
            [2 * r[f"error/{name}"] for r in rows],
            color=color,
            marker="o",
            ms=3,
            lw=1.2,
            label=f"held-out bound, {name}",
        )
    shown = smooth + [r[f"bound/{name}"] for name in names for r in log if f"bound/{name}" in r]
    if shown:
        axis.set_ylim(0.95 * min(shown), min(max(shown), 2 * shown[-1] + 0.5))
    axis.set(xlabel="step", ylabel="nats per token")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
