"""The autoregressive control of `benchmarks.text_control`: it is told what the conditioned model is told, and tries again.

Its lengths are drawn as those of a free text. Where a template pins what stands after a hole, which it cannot read, the hole is
written from what stands before, in a row as long as the whole, and of the tries that succeed the one is taken that makes the
whole likeliest.
"""

from dataclasses import dataclass

import torch

from benchmarks.text_targets import Target
from domains.spec import DesignSpec
from domains.text.domain import templates
from domains.text.fields import parted
from domains.text.tokens import decode
from seqdiff.checkpoint import Checkpoint
from seqdiff.samplers.drive import batches_by_length


@dataclass(frozen=True)
class Tries:
    """Texts of a target: (samples, tries), and the tokens drawn for each try, which are its passes."""

    texts: list[list[str]]
    nats: list[list[float]]
    passes: int

    def first(self) -> list[str]:
        return [row[0] for row in self.texts]

    def best(self, target: Target) -> list[str]:
        """Of each sample the try with the most success, the first of equals; of infilling the likeliest of equals."""
        chosen = []
        for texts, nats in zip(self.texts, self.nats, strict=True):
            order = nats if target.reference else range(len(texts))
            chosen.append(min(zip([-target.success(text) for text in texts], order, texts, strict=True))[2])
        return chosen


@torch.no_grad()
def tries(control: Checkpoint, target: Target, label: str, samples: int, most: int, seed: int) -> Tries:
    """`most` tries for each of `samples` texts, all independent; a function of the seed."""
    asked = target.asked.get("conditioned", target.asked.get("unguided", {}))
    n = samples * most
    spec = DesignSpec("text", template=asked.get("template"), label=label, n=n, seed=seed)
    (variant,) = templates(spec, control)
    canvases = variant.template.draw(torch.arange(n), seed, control.alphabet.mask)
    texts, nats, passes = [""] * n, [0.0] * n, 0
    index = control.label_names.index(label)
    for batch in batches_by_length([canvas.tokens for canvas in canvases], 64):
        hole = (batch.tokens == control.alphabet.mask).cumsum(-1) > 0
        x = torch.where(hole, control.alphabet.mask, batch.tokens)
        classes = torch.full((len(x),), index)
        drawn = control.network.sample(x, seed, batch.index, classes)  # type: ignore[operator]
        x = torch.where(batch.tokens == control.alphabet.mask, drawn, batch.tokens)
        likely = -control.network.log_likelihood(x, classes)  # type: ignore[operator]
        passes += int(hole.sum())
        for k, row, value in zip(batch.index.tolist(), x, likely.tolist(), strict=True):
            texts[k] = decode(parted(control.alphabet.decode_tokens(row))[1], control.alphabet)
            nats[k] = value
    cut = [slice(k * most, (k + 1) * most) for k in range(samples)]
    return Tries([texts[c] for c in cut], [nats[c] for c in cut], passes)
