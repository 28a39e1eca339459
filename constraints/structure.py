"""What a whole row must satisfy: the protocol between the samplers' Condition and what can count and draw under it.

Shapes: R rows, L length, V vocabulary.
"""

from typing import Any, Protocol

from torch import Tensor


class Structure(Protocol):
    """A set C of rows with an exact dynamic programme over a product of categoricals p_i.

    One with data of its own for every row it was built for (`relations.tied.Layouts`) has a method `rows(index)`, to be
    called first by whoever asks about some of them. One that can draw some positions for less has `reveal`
    (`constraints.condition.reveal` says what it returns), one that can decide without arithmetic has
    `possible_among` (of the sets of tokens that rows may hold).

    p is (R, L, V), ≥ 0, and need not be normalised; a position that is settled has mass on its token alone.
    `region` (R, L) int64 says to which region of its row a position belongs; None is region 0 everywhere.
    """

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Z = log Σ_{x ∈ C} Π_i p_i(x_i), (R,) float64, −∞ where nothing is possible."""
        ...

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (R, L) ∝ Π_i p_i(x_i) 1[x ∈ C], exactly and jointly, from uniform noise u (R, L); and log Z (R,).

        Where Z = 0 the tokens are arbitrary.
        """
        ...


def possible(structure: Any, index: Tensor, table: Tensor, region: Tensor | None) -> Tensor:
    """Which rows can be filled, (R,) bool, with the sets of tokens index (R, L) of table (K, V) bool."""
    if hasattr(structure, "possible_among"):
        return structure.possible_among(index, table, region)
    return structure.log_mass(table[index].double() / table.shape[-1], region).isfinite()
