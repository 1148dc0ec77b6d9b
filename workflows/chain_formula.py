"""Checks a chemical formula by computing its molar mass. Called by chain.yaml."""

import re

# Abridged standard atomic weights of IUPAC (2021), g/mol: https://www.ciaaw.org/abridged-atomic-weights.htm
ATOMIC_WEIGHTS = {
    "H": 1.008,
    "C": 12.011,
    "N": 14.007,
    "O": 15.999,
    "F": 18.998,
    "Na": 22.990,
    "Mg": 24.305,
    "Al": 26.982,
    "Si": 28.085,
    "P": 30.974,
    "S": 32.06,
    "Cl": 35.45,
    "K": 39.098,
    "Ca": 40.078,
    "Fe": 55.845,
    "Cu": 63.546,
    "Zn": 65.38,
    "Br": 79.904,
    "Ag": 107.87,
    "I": 126.90,
}
PART = re.compile(r"([A-Z][a-z]?|\(|\))(\d*)")


def check(formula, expected, tolerance=0.005):
    """Whether a formula such as Ca(OH)2 has the molar mass that is expected.

    Args:
        formula: what the model answered.
        expected: the true molar mass, g/mol.
        tolerance: as a share, 0.005 for half a percent.

    Returns:
        formula, molar_mass in g/mol, and right: true or false.

    Raises:
        ValueError: it is no formula, or has an element that is not in the table.
    """
    mass = weigh(formula)
    return {"formula": formula, "molar_mass": round(mass, 3), "right": abs(mass - expected) <= tolerance * expected}


def weigh(formula):
    """The sum of the atomic weights; a stack holds one sum for each open bracket."""
    sums = [0.0]
    end = 0
    for part in PART.finditer(formula):
        symbol, count = part[1], int(part[2] or 1)
        if part.start() != end or (symbol == ")" and len(sums) == 1):
            break
        end = part.end()
        if symbol == "(":
            sums.append(0.0)
        elif symbol == ")":
            inside = sums.pop()
            sums[-1] += inside * count
        elif symbol in ATOMIC_WEIGHTS:
            sums[-1] += ATOMIC_WEIGHTS[symbol] * count
        else:
            raise ValueError(f"no weight is known for '{symbol}' in {formula!r}")
    if end != len(formula) or len(sums) > 1 or not sums[0]:
        raise ValueError(f"{formula!r} is no chemical formula")
    return sums[0]
