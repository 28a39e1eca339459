"""Plans: the lengths of gaps in proportion to π(ℓ) Z_ℓ, and designs under constraints, syntax, wishes and particles."""

import itertools
import math

import pytest
import torch
from tiny_model import tiny_checkpoint

from constraints.automata.regular import count
from constraints.compilation.assemble import Syntax
from constraints.compilation.feasibility import Infeasible
from constraints.compilation.plan import MOST, combinations, log_mass_of, plan
from constraints.language.notation import parse
from constraints.template import Gap, Template
from domains.design import DesignSpec, design
from domains.smiles.tokens import tokenize
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear

ABC = Alphabet("abc", ("A", "B", "C"))
TEMPLATE = "C1CC1N{2-4}c2ccc(F)cc2"


class Fixed:
    """The same p at every position, whatever stands elsewhere: masses can be written down."""

    vocabulary, p = 3, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None):
        return self.p.log().expand(*positions.shape, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from seqdiff.checkpoint import load_checkpoint

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_checkpoint().save(folder, "# tiny\n")
    return load_checkpoint(folder)


def test_lengths_are_drawn_in_proportion_to_prior_times_mass():
    gap = Gap(0, 3, (0.1, 0.2, 0.3, 0.4))
    template = Template(((0, 1), gap, (2,)))
    log_mass = log_mass_of(Fixed(), Absorbing(3, Linear()), None)
    ready = plan(template, parse("within(gap1, count([A], 1)) & ban([C], 0..1)"), ABC, log_mass=log_mass)
    mass = [0.0] + [n * 0.5 * 0.5 ** (n - 1) for n in (1, 2, 3)]  # exactly one A among n free tokens
    want = torch.tensor([g * m for g, m in zip(gap.weights, mass, strict=True)])
    torch.testing.assert_close(ready.probability, (want / want.sum()).double())
    canvases, chosen = ready.draw(torch.arange(4000), 3)
    share = torch.bincount(torch.tensor([c.gap_lengths[0] for c in canvases]), minlength=4) / 4000
    assert float((share - want / want.sum()).abs().max()) < 0.03 and share[0] == 0
    assert all(ready.lengths[k] == c.gap_lengths for k, c in zip(chosen.tolist(), canvases, strict=True))
    flat = plan(template, parse("within(gap1, count([A], 1))"), ABC)  # without a model: wherever it is possible
    torch.testing.assert_close(flat.probability, torch.tensor([0, 2, 3, 4]).double() / 9)


def test_a_model_that_rules_out_everything_leaves_the_prior():
    class Never(Fixed):
        p = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)

    ready = plan(Template((Gap(1, 2),)), parse("contains(B)"), ABC, log_mass=log_mass_of(Never(), Absorbing(3, Linear()), None))
    torch.testing.assert_close(ready.probability, torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_many_combinations_are_cut_to_the_likeliest():
    lengths, prior, skipped = combinations(Template((Gap(1, 30, tuple(range(30, 0, -1))), (0,), Gap(0, 30))))
    assert len(lengths) == MOST and skipped == 30 * 31 - MOST
    assert float(prior.min()) >= 26 / 465 / 31 - 1e-12 and {a for a, _ in lengths} <= set(range(1, 6))
    lengths, _, skipped = combinations(Template((Gap(0, 60), (0,), Gap(0, 60), (0,), Gap(0, 60), (1,), Gap(0, 60))))
    assert 0 < len(lengths) <= MOST and skipped == 61**4 - len(lengths)


def test_equally_likely_lengths_are_thinned_evenly():
    lengths, prior, _ = combinations(Template((Gap(10, 40), (0,), Gap(10, 40))))
    assert len(lengths) == MOST and float(prior.std()) == pytest.approx(0)
    for g in range(2):
        values = [row[g] for row in lengths]
        assert len(set(values)) == 31 and abs(sum(values) / MOST - 25) < 1


def test_lengths_that_a_total_or_a_tie_rules_out_are_not_looked_at():
    template = Template((Gap(10, 40), (0,), Gap(10, 40)))
    lengths, _, skipped = combinations(template, parse("length(78..80) & ban([C])"))
    assert lengths and {a + b + 1 for a, b in lengths} == {78, 79, 80} and skipped == 31 * 31 - len(lengths)
    lengths, _, _ = combinations(template, parse("tie(gap1, gap2)"))
    assert lengths == [(k, k) for k in range(10, 41)]
    lengths, _, _ = combinations(template, parse("length(200..)"))
    assert len(lengths) == MOST  # nothing can hold; the conflict is explained over these


def test_what_contradicts_is_refused_with_the_conflict():
    with pytest.raises(Infeasible) as error:
        plan(Template(((0,), Gap(1, 3))), parse("count([A], 0) & contains(B)"), ABC)
    assert error.value.conflict == ("count([A], 0)", "the pinned tokens of the template")
    syntax = Syntax("an even number of B", count(3, {1}, 0, 0) | count(3, {1}, 2, 2))
    with pytest.raises(Infeasible, match="an even number of B"):
        plan(Template((Gap(3, 3),)), parse("count([B], 3)"), ABC, syntax)
    ready = plan(Template((Gap(3, 3),)), parse("count([B], 1..2)"), ABC, syntax)
    drawn = ready.compiled.structure.draw(torch.ones(50, 3, 3), torch.rand(50, 3, dtype=torch.float64))[0]
    assert bool(((drawn == 1).sum(-1) == 2).all())


CONSTRAINT = "within(gap1, count([C N O], 1..2) & avoid([C]-[C]))"


@pytest.mark.parametrize("particles", [1, 4])
def test_designs_hold_what_was_asked_and_say_so(model, particles):
    spec = DesignSpec("smiles", TEMPLATE, n=40, steps=20, constraint=CONSTRAINT, syntax=True, particles=particles)
    made = design(spec, checkpoint=model)
    head, tail = tokenize("C1CC1N"), tokenize("c2ccc(F)cc2")
    for item in made.designs:
        tokens = tokenize(item.sequence)
        gap = tokens[len(head) : -len(tail)]
        assert tokens[: len(head)] == head and tokens[-len(tail) :] == tail
        assert (
            1 <= sum(t in "CNO" for t in gap) <= 2
            and ("C", "C") not in itertools.pairwise(gap)
            and gap.count("(") == gap.count(")")
        )
        assert not {"1", "2", "."} & set(gap)
        certificate = item.certificate
        assert certificate.violations == () and "well-formed SMILES" in certificate.holds
        assert certificate.law == ("particles" if particles > 1 else "uncorrected") and certificate.model == model.sha256
        if particles > 1:
            assert certificate.log_evidence < 0 and 1 <= certificate.sample_size <= particles
    assert made.summary["satisfied"] == made.summary["returned"] == 40 and made.abstained == []


def test_particles_do_not_depend_on_the_batch_and_keep_the_first_designs(model):
    def sequences(**fields):
        spec = {"n": 12, "steps": 20, "constraint": CONSTRAINT, "particles": 4, "bound_draws": 0} | fields
        return [item.sequence for item in design(DesignSpec("smiles", TEMPLATE, **spec), checkpoint=model).designs]

    whole = sequences()
    assert sequences(batch_size=1) == sequences(batch_size=7) == whole and sequences(n=5) == whole[:5]
    assert sequences(seed=1) != whole


def test_a_wish_that_nothing_meets_is_abstained_from_and_others_bend_the_law(model):
    fields = {"n": 30, "steps": 20, "syntax": True, "particles": 8, "bound_draws": 0}
    free = design(DesignSpec("smiles", TEMPLATE, **fields), checkpoint=model)
    valid = design(DesignSpec("smiles", TEMPLATE, **fields, wishes=("valid",)), checkpoint=model)
    assert all(item.valid for item in valid.designs) and valid.summary["returned"] + valid.summary["abstained"] == 30
    assert not all(item.valid for item in free.designs)
    light = design(DesignSpec("smiles", TEMPLATE, **fields, wishes=("weight <= 160 * 8",)), checkpoint=model)

    def mean(made):
        return sum(item.metrics["weight"] for item in made.designs) / len(made.designs)

    assert mean(light) < mean(valid)
    spec = DesignSpec("smiles", "c1cccc1{1}", **fields, wishes=("valid",))
    none = design(spec, checkpoint=model)
    assert none.designs == [] and none.abstained == list(range(30)) and none.summary["abstained"] == 30


def test_bad_requests_are_refused_early():
    with pytest.raises(ConfigError, match="expected at least 2 with wishes, to choose from; got 1 with valid"):
        DesignSpec("smiles", wishes=("valid",), particles=1)
    with pytest.raises(ConditionError, match="at character 7"):
        DesignSpec("smiles", constraint="count(")
    with pytest.raises(ConfigError, match="particles: expected 1 to 1024, got 0"):
        DesignSpec("smiles", particles=0)
    spec = DesignSpec("smiles", constraint="contains(C)", wishes=("valid",))
    assert DesignSpec.from_dict(spec.to_dict()) == spec and spec.cloud == 8
    assert math.isclose(DesignSpec("smiles").cloud, 1)


def test_an_impossible_wish_is_refused_by_name(model):
    with pytest.raises(ConditionError, match="wish: expected 'valid', or a range such as"):
        design(DesignSpec("smiles", TEMPLATE, n=1, wishes=("pretty",)), checkpoint=model)


def test_guidance_to_a_class_reaches_the_draws_and_needs_a_class(model):
    def sequences(guidance):
        spec = DesignSpec("smiles", "CC{3}O", n=30, steps=8, label="zinc", guidance=guidance, bound_draws=0)
        return [item.sequence for item in design(spec, checkpoint=model).designs]

    assert sequences(1.0) != sequences(4.0)
    any_class = DesignSpec("smiles", "CC{3}O", n=30, steps=8, bound_draws=0)
    assert sequences(0.0) == [item.sequence for item in design(any_class, checkpoint=model).designs]
    with pytest.raises(ConfigError, match="expected a label to be guided to, got none with guidance 2"):
        DesignSpec("smiles", guidance=2.0)


def test_the_syntax_of_a_domain_decides_what_is_possible_and_does_not_weigh():
    gap, log_mass = Gap(1, 4), log_mass_of(Fixed(), Absorbing(3, Linear()), None)
    even = Syntax("an even number of B", count(3, {1}, 0, 0) | count(3, {1}, 2, 2) | count(3, {1}, 4, 4))
    free = plan(Template((gap,)), None, ABC, even, log_mass)
    torch.testing.assert_close(free.probability, torch.full((4,), 0.25, dtype=torch.float64))
    asked = plan(Template((gap,), frozenset({2})), parse("count([A], 0)"), ABC, even, log_mass)
    want = torch.tensor([0, 0.5**2, 0, 0.5**4], dtype=torch.float64)  # no A: Bs and Cs, of which only Bs may stand
    torch.testing.assert_close(asked.probability, want / want.sum())


def test_ties_decide_what_is_possible_and_do_not_weigh():
    """Two like draws are the less likely the longer they are, whatever they hold: that is no reason for short ones."""
    template, log_mass = Template((Gap(1, 3), (0,), Gap(2, 4))), log_mass_of(Fixed(), Absorbing(3, Linear()), None)
    tied = plan(template, parse("tie(gap1, gap2)"), ABC, log_mass=log_mass)
    assert tied.lengths == ((2, 2), (3, 3))
    torch.testing.assert_close(tied.probability, torch.full((2,), 0.5, dtype=torch.float64))
    asked = plan(template, parse("(tie(gap1, gap2)) & (within(gap1, count([C], 0) & ban([B])))"), ABC, log_mass=log_mass)
    want = torch.tensor([0.5**2, 0.5**3], dtype=torch.float64)
    torch.testing.assert_close(asked.probability, want / want.sum())
    p = torch.full((1, 5, 3), 1 / 3).expand(9, 5, 3)
    drawn = asked.condition(torch.zeros(9, dtype=torch.int64)).structure.draw(p, torch.rand(9, 5, dtype=torch.float64))[0]
    assert torch.equal(drawn[:, :2], drawn[:, 3:])  # and they still hold


def test_a_long_constraint_is_cut_short_in_the_certificate_and_not_in_the_request(model):
    words = ", ".join(f'"{"".join(word)}"' for word in itertools.product("CNO", repeat=3))
    constraint = f"within(gap1, words({words}))"
    made = design(DesignSpec("smiles", TEMPLATE, n=2, steps=8, bound_draws=0, constraint=constraint), checkpoint=model)
    (told,) = (text for text in made.designs[0].certificate.holds if text.startswith('within(gap1, words("CCC"'))
    assert made.spec.constraint == constraint
    assert len(told) <= 120 < len(constraint) and told.endswith('"OOO"))') and f"({len(constraint)} characters)" in told


def test_token_sets_alone_are_not_said_to_have_the_models_law(model):
    """p restricted position by position is not the model's law given the restriction; pins and holes alone have that."""
    laws = [
        design(DesignSpec("smiles", TEMPLATE, n=1, steps=8, bound_draws=0, constraint=c), checkpoint=model).designs[0]
        for c in ("within(gap1, ban([O]))", None)
    ]
    assert [item.certificate.law for item in laws] == ["uncorrected", "exact"]
