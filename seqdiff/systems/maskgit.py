"""MaskGIT: a masked model trained without the bound's weight, sampled by confidence with noise that fades.

    L = E_{r ~ U(0, 1)} Σ_{i masked} −log p(x_0^i | x_t),   a share γ(r) of the row masked, γ(r) = cos(πr/2)

Source: Chang et al., "MaskGIT: masked generative image transformer", 2022, §3. Its γ is the cosine schedule's mask rate
at t = 1 − r. The minimum is that of the bound; nearly empty and nearly full rows weigh less.
"""

from dataclasses import dataclass

from seqdiff.objective import bert_loss, hide
from seqdiff.systems.base import Rows
from seqdiff.systems.mdlm import MDLM


@dataclass(frozen=True)
class MaskGIT(MDLM):
    """Process: absorbing, with the cosine schedule in the paper. ⌈γ N⌉ of a row's N tokens are masked, all sets alike."""

    sampler: str = "maskgit"

    def terms(self, network, rows: Rows):
        t = rows.times()
        n = (self.process.schedule.mask_rate(t) * rows.lengths).ceil().long()
        x_t = hide(rows.x_0, self.process.mask, n, rows.uniform(), rows.real)
        logits = network(x_t, t, rows.label, rows.mask_lengths)
        return {"cross-entropy": bert_loss(self.process, logits, rows.x_0, x_t)}
