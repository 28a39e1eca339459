"""What molecules can be optimised for: goals in closed form, by RDKit, a wish in words, or any Python function.

    qed                 drug-likeness (Bickerton et al. 2012), 0 to 1
    plogp               penalised logP: logP − SA − (atoms beyond six in the largest ring), each standardised over ZINC250k
    celecoxib           rediscovery: Tanimoto similarity to celecoxib, 0 to 1
    median1             geometric mean of the similarities to camphor and to menthol, 0 to 1
    similarity(SMILES)  to any molecule; median(SMILES, SMILES, …) of any
    a wish              such as "2 <= logp <= 3": 0 where it is met, its log-weight below where it is not

Similarities are Tanimoto's over counts of Morgan environments of radius 2 (the "ECFP4" of GuacaMol, whose celecoxib rediscovery
and median molecules 1 these are: Brown, Fiscato, Segler, Vaucher 2019). Penalised logP: Gómez-Bombarelli et al. 2018, with the
means and deviations of You et al. 2018 ("Graph convolutional policy network"); rings are those of RDKit's smallest set.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seqdiff.errors import ConfigError, SeqdiffError

CELECOXIB = "Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F"
CAMPHOR, MENTHOL = "CC1(C)C2CCC1(C)C(=O)C2", "CC(C)C1CCC(C)CC1O"
# mean and deviation over ZINC250k of logP, −SA and −(atoms beyond six in the largest ring)
LOGP, MINUS_SA, MINUS_CYCLE = (2.4570953, 1.4343244), (-3.0525811, 0.8335207), (-0.0485697, 0.2860212)


@dataclass(frozen=True)
class Goal:
    """A function of a canonical SMILES, larger is better, by its name."""

    name: str
    score: Callable[[str], float]

    def __call__(self, smiles: str) -> float:
        return self.score(smiles)


def read_goal(asked: "str | Goal | Callable[[str], float]") -> Goal:
    """A goal by name, in words, or of a function. Raises ConfigError that says what can be asked."""
    if isinstance(asked, Goal):
        return asked
    if callable(asked):
        return Goal(f"{asked.__module__}:{getattr(asked, '__qualname__', type(asked).__qualname__)}", asked)
    text = asked.strip()
    if text in GOALS:
        return Goal(text, GOALS[text])
    if found := re.fullmatch(r"(similarity|median)\((.*)\)", text):
        return Goal(text, similarity([part.strip() for part in found[2].split(",")]))
    from domains.smiles.wishes import read_wish

    try:
        wish = read_wish(text)
    except SeqdiffError as error:
        known = ", ".join(GOALS)
        raise ConfigError(
            f"goal: expected {known}, similarity(SMILES), median(SMILES, SMILES) or a wish, got {text!r}\n  {error}"
        ) from None
    return Goal(text, wish.log_weight)


def qed(smiles: str) -> float:
    from rdkit.Chem import QED

    return QED.qed(_molecule(smiles))


def penalised_logp(smiles: str) -> float:
    """J(m) = Σ (x − mean)/deviation of x = logP, −SA, −max(0, largest ring − 6)."""
    from rdkit.Chem import rdMolDescriptors
    from rdkit.Contrib.SA_Score import sascorer  # type: ignore[import-not-found]

    molecule = _molecule(smiles)
    largest = max((len(ring) for ring in molecule.GetRingInfo().AtomRings()), default=0)
    figures = (
        (rdMolDescriptors.CalcCrippenDescriptors(molecule)[0], LOGP),
        (-sascorer.calculateScore(molecule), MINUS_SA),
        (-max(0, largest - 6), MINUS_CYCLE),
    )
    return sum((x - mean) / deviation for x, (mean, deviation) in figures)


def similarity(targets: list[str]) -> Callable[[str], float]:
    """The geometric mean of the similarities to the targets. Raises ConfigError for what is no molecule."""
    for target in targets:
        _molecule(target)
    return partial(_similarity, tuple(targets))


def _similarity(targets: tuple[str, ...], smiles: str) -> float:
    from rdkit.DataStructs import TanimotoSimilarity

    ours = _counts(smiles)
    product = math.prod(TanimotoSimilarity(_counts(target), ours) for target in targets)
    return product ** (1 / len(targets))


def _counts(smiles: str):
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2).GetSparseCountFingerprint(_molecule(smiles))


def _molecule(smiles: str):
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise ConfigError(f"goal: expected a molecule, RDKit does not read {smiles!r}")
    return molecule


GOALS: dict[str, Callable[[str], float]] = {
    "qed": qed,
    "plogp": penalised_logp,
    "celecoxib": partial(_similarity, (CELECOXIB,)),
    "median1": partial(_similarity, (CAMPHOR, MENTHOL)),
}
