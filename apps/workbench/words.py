"""Figures and certificates in plain words."""

from typing import Any

NAMES: dict[str, tuple[str, str, int]] = {  # figure → name, hint, decimals
    "qed": ("QED", "Drug-likeness, 0 to 1; higher is better (Bickerton et al. 2012).", 2),
    "sa": ("SA", "Synthetic accessibility: 1 easy to 10 hard to make.", 2),
    "logp": ("logP", "Lipophilicity: octanol over water.", 2),
    "weight": ("Weight", "In daltons.", 0),
    "tpsa": ("TPSA", "Polar surface in square ångströms.", 0),
    "rings": ("Rings", "How many.", 0),
    "length": ("Length", "Residues.", 0),
    "charge": ("Charge", "Net charge at pH 7.", 1),
    "pi": ("pI", "pH at which it has no net charge.", 2),
    "gravy": ("GRAVY", "Hydropathy: above 0 water-shy, below 0 water-loving.", 2),
    "instability": ("Instability", "Instability index; below 40 is called stable.", 1),
    "cysteines": ("Cysteines", "How many.", 0),
    "words": ("Words", "How many.", 0),
    "bound": ("Surprise", "Upper bound on −log p of what was designed, in nats: lower is more usual for the model.", 1),
}
SHOWN = {
    "smiles": ("qed", "sa", "logp", "weight", "tpsa", "rings", "bound"),
    "protein": ("length", "charge", "pi", "gravy", "instability", "cysteines", "bound"),
    "text": ("words", "bound"),
}
LAWS = {
    "exact": "Drawn from what the model has learned, in the steps asked for, with no approximation beside them.",
    "any-order": "Drawn from what the model has learned, with no approximation.",
    "asymptotic": "Tends to what the model has learned with more steps.",
    "heuristic": "The sampler or the guidance is a rule of thumb: rules hold, how often a design comes up is its own affair.",
    "uncorrected": "Every step keeps to the rules. How often a design comes up is not quite the model's own; several attempts "
    "for each design (particles) correct that, of a model that works on tokens.",
    "gradients": "Every step was moved towards the wish. How often a design comes up is the guidance's own affair.",
    "particles": "Chosen from several attempts, so that rules and wishes weigh as they should; more attempts come closer.",
}


def certificate(design: Any, domain: str = "") -> list[tuple[bool, str]]:
    """(good, line) of what is known of a design."""
    told = design.certificate
    good = "It says something (valid)." if domain == "text" else "It can exist (valid)."
    lines = [(design.valid, good if design.valid else f"It is not valid: {design.reason}.")]
    kept = "What you pinned stands unchanged." if design.pins_kept else "What you pinned stands as written, but means another."
    lines.append((design.pins_kept, kept))
    if told.violations:
        lines.append((False, f"A check found broken: {'; '.join(told.violations)}."))
    elif told.holds:
        lines.append((True, "All rules hold by construction, and a second, independent check found none broken."))
    lines.append((told.law not in ("heuristic", "gradients"), LAWS[told.law]))
    if told.sample_size is not None:
        lines.append((True, f"{told.particles} attempts, of which {told.sample_size:.1f} counted in the end."))
    if design.metrics.get("novel") is not None:
        lines.append((True, "New to the model." if design.metrics["novel"] else "Among what the model was trained on."))
    return lines
