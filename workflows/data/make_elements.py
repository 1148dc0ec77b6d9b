"""Writes elements.csv from the mendeleev package: python make_elements.py > elements.csv

Left out are elements for which one of the answers is disputed or not one number: those with several forms, that
sublime, whose melting or boiling point is not known, radioactive ones, and the lanthanides and actinides (no agreed
group). The order is shuffled once, with a fixed seed, so that the first n rows are a fair sample for every n.
"""

import csv
import random
import sys

from mendeleev.fetch import fetch_table

ROOM_K = 298.15


def state(melting_k, boiling_k):
    """Solid, liquid or gas at 298.15 K and 1 atm."""
    if boiling_k < ROOM_K:
        return "gas"
    return "liquid" if melting_k < ROOM_K else "solid"


def rows():
    """The rows of the table, by atomic number."""
    phases = fetch_table("phasetransitions")
    elements = fetch_table("elements")
    for element in elements[elements.block != "f"].itertuples():
        forms = phases[phases.atomic_number == element.atomic_number]
        if len(forms) != 1 or element.is_radioactive or element.symbol == "La":
            continue
        form = forms.iloc[0]
        if not (form.melting_point > 0 and form.boiling_point > 0) or form.is_sublimation_point == 1:
            continue
        yield {
            "name": element.name.lower(),
            "symbol": element.symbol,
            "atomic_number": element.atomic_number,
            "group": int(element.group_id),
            "period": element.period,
            "state": state(form.melting_point, form.boiling_point),
            "melting_point_k": round(float(form.melting_point), 2),
        }


if __name__ == "__main__":
    table = list(rows())
    random.Random(1869).shuffle(table)
    writer = csv.DictWriter(sys.stdout, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
