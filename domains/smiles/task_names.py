"""What may be done with fragments that are drawn: names and a line each. It imports nothing, so that a help text can."""

TASKS = {
    "linker": "fragments are joined: two by a linker, more by one core, those with two points in a chain",
    "decoration": "every point of one scaffold grows",
    "extension": "one fragment grows at its one point to a whole molecule",
    "superstructure": "a molecule without points is kept and grows at one or two of its hydrogens",
    "morphing": "as linker, and what joins holds a ring",
    "macrocycle": "two points of one fragment are joined, into a ring of ring_atoms or more",
    "joint": "points with equal labels are joined, or the fragments in a chain; every other point grows",
}
