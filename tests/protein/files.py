"""Small structure files, true to their formats: what is hard about numbering in a few residues.

Chain H: 99, 100, 100A, 100B, 101, then residues missing, 105, 106; at 101 two amino acids in alternative locations; 106 is
selenomethionine. Chain L: −1, 0, 1. Then a water. A second model has other residues.
"""

THREE = {"A": "ALA", "C": "CYS", "D": "ASP", "G": "GLY", "K": "LYS", "M": "MSE", "S": "SER", "W": "TRP", "Y": "TYR", "E": "GLU"}

# chain, author number, insertion code, letter, place along the chain, (location, occupancy), label chain, label number
RESIDUES = [
    ("H", 99, "", "A", 0, ("", 1.0), "A", 1),
    ("H", 100, "", "C", 1, ("", 1.0), "A", 2),
    ("H", 100, "A", "D", 2, ("", 1.0), "A", 3),
    ("H", 100, "B", "G", 3, ("", 1.0), "A", 4),
    ("H", 101, "", "S", 4, ("A", 0.4), "A", 5),
    ("H", 101, "", "Y", 4, ("B", 0.6), "A", 5),
    ("H", 105, "", "W", 20, ("", 1.0), "A", 9),
    ("H", 106, "", "M", 21, ("", 1.0), "A", 10),
    ("L", -1, "", "G", 0, ("", 1.0), "B", 1),
    ("L", 0, "", "K", 1, ("", 1.0), "B", 2),
    ("L", 1, "", "E", 2, ("", 1.0), "B", 3),
]


def atoms(residues):
    """Backbone atoms, a peptide bond of 1.3 Å from each residue to the one at the next place of its chain."""
    for chain, number, code, letter, place, (location, occupancy), asym, seq in residues:
        component = THREE[letter]
        for k, name in enumerate(("N", "CA", "C", "O")):
            x = 3.8 * place + (0, 1.4, 2.5, 2.6)[k]
            y = (0 if chain == "H" else 50) + (1 if name == "O" else 0)
            yield chain, number, code, component, name, location, occupancy, (x, float(y), 0.0), asym, seq


def pdb(path, models=(RESIDUES, [("H", 99, "", "K", 0, ("", 1.0), "A", 1)])):
    lines, serial = ["HEADER    TEST"], 0
    for m, residues in enumerate(models, 1):
        lines.append(f"MODEL     {m:4d}")
        for chain, number, code, component, name, location, occupancy, (x, y, z), *_ in atoms(residues):
            serial += 1
            record = "HETATM" if component == "MSE" else "ATOM"
            lines.append(
                f"{record:<6}{serial:5d}  {name:<3}{location or ' '}{component:>3} {chain}{number:4d}{code or ' '}   "
                f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{10.0:6.2f}          {name[0]:>2}"
            )
        serial += 1
        lines.append(f"HETATM{serial:5d}  O   HOH H 201    {9.0:8.3f}{9.0:8.3f}{9.0:8.3f}{1.0:6.2f}{10.0:6.2f}           O")
        lines.append("ENDMDL")
    path.write_text("\n".join([*lines, "END"]) + "\n")
    return path


COLUMNS = (
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id "
    "pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_comp_id auth_asym_id auth_atom_id "
    "pdbx_PDB_model_num"
)


def cif(path, models=(RESIDUES, [("H", 99, "", "K", 0, ("", 1.0), "A", 1)])):
    lines, serial = ["data_TEST", "loop_", *(f"_atom_site.{name}" for name in COLUMNS.split())], 0
    for m, residues in enumerate(models, 1):
        for chain, number, code, component, name, location, occupancy, (x, y, z), asym, seq in atoms(residues):
            serial += 1
            record = "HETATM" if component == "MSE" else "ATOM"
            lines.append(
                f"{record} {serial} {name[0]} {name} {location or '.'} {component} {asym} 1 {seq} {code or '?'} "
                f"{x:.3f} {y:.3f} {z:.3f} "
                f"{occupancy:.2f} 10.00 {number} {component} {chain} {name} {m}"
            )
        serial += 1
        lines.append(f"HETATM {serial} O O . HOH C 2 . ? 9.0 9.0 9.0 1.00 10.00 201 HOH H O {m}")
    path.write_text("\n".join([*lines, "#"]) + "\n")
    return path
