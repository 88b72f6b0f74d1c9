"""docs/examples/pairs.csv: stiff sentences and what a person would write, `python -m training_containers.tiny.pairs`.

Frames, openers and slots are of this file alone and share no sentence with grammar.py, which the base learned from.
The file holds some exact duplicates and some broken rows on purpose, for the report of a drop to name.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from .grammar import capitalised

FRAMES = Path(__file__).with_name("frames.txt")
SEED = 20261120
ROWS = 800
OPENED = 0.8
"""Share of the pairs that begin with an opener to be dropped."""

OPENERS = (
    "Moreover,", "Furthermore,", "Additionally,", "It is important to note that", "It is worth noting that",
    "It should be noted that", "In today's world,", "As previously mentioned,", "In light of this,",
    "Needless to say,", "At the end of the day,", "With that in mind,", "It is worth mentioning that",
    "As a matter of fact,", "To put it simply,", "Notably,", "Consequently,", "In essence,",
    "It is crucial to understand that", "Without a doubt,",
)  # fmt: skip


def _listed(text: str) -> list[str]:
    """Words apart at white space; '_' inside one stands for a space."""
    return [word.replace("_", " ") for word in text.split()]


_PEOPLE = _listed(
    """
    Maria_Lopez James_Okoro Priya_Nair Tom_Becker Aylin_Demir Chen_Wei Sofia_Rossi Daniel_Kowalski Fatou_Diop
    Liam_Murphy Hannah_Berg Omar_Said Grace_Kim Pedro_Alves Nina_Petrova Mr_Walker Mrs_Ahmed Dr_Jensen Emma Viktor
    Leila Rohan Greta Hugo
    """
)
_PLACES = _listed(
    """
    Leeds Porto Bergen Lyon Dundee Krakow Ghent Malmo Turin Cork Utrecht Seville Basel Tartu Graz York Bristol
    Nantes Oslo Boston Lagos Kyoto Quebec Austin
    """
)
_THINGS = _listed(
    """
    printer blue_van garden_shed ticket_machine heating_system bicycle_shelter coffee_machine front_door boat_engine
    meeting_room photo_archive swimming_pool water_pump kitchen_sink radio_tower school_report insurance_form
    old_bridge fire_alarm camera parcel_scanner piano greenhouse lift road_map summer_menu wine_list test_result
    stage_light delivery_note
    """
)
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday".split("|")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December".split("|")
_PAPERS = _listed(
    """
    school_report insurance_form test_paper delivery_note survey tax_form travel_plan lab_report photo_essay
    application
    """
)
_SLOTS: dict[str, Callable[[Random], str]] = {
    "person": lambda r: r.choice(_PEOPLE),
    "place": lambda r: r.choice(_PLACES),
    "thing": lambda r: r.choice(_THINGS),
    "paper": lambda r: r.choice(_PAPERS),
    "day": lambda r: r.choice(_DAYS),
    "month": lambda r: r.choice(_MONTHS),
    "date": lambda r: f"{r.randint(1, 28)} {r.choice(_MONTHS)}",
    "clock": lambda r: f"{r.randint(6, 22)}:{r.choice(['00', '15', '30', '45'])}",
    "number": lambda r: str(r.choice([r.randint(3, 60), r.randint(3, 60), r.randint(100, 2500)])),
    "year": lambda r: str(r.randint(1950, 2025)),
}

BAD = (
    "Moreover, the lift in Leeds is not working.,\n",
    ",The lift in Cork isn't working.\n",
    "Furthermore the printer has no paper\n",
    "The pool opens at 9:00.,The pool opens at 9:00.\n",
    '"Notably, the van is late.",The van is late.,and a third cell\n',
    "Consequently\x07 the \x01camera broke.,The camera broke.\n",
)
"""No completion; no prompt; one cell; source = target; three cells; control characters."""


def frames(path: Path = FRAMES) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def pair(frame: str, r: Random) -> tuple[str, str]:
    """One frame filled: (source, target)."""
    filled = re.sub(r"\{(\w+)\}", lambda slot: _SLOTS[slot[1]](r), frame)
    stiff, plain = (re.sub(r"\[([^|\]]*)\|([^\]]*)\]", side, filled) for side in (r"\1", r"\2"))
    source = f"{r.choice(OPENERS)} {stiff}" if r.random() < OPENED else capitalised(stiff)
    return f"{source}.", f"{capitalised(plain)}."


def good(count: int = ROWS, seed: int = SEED) -> list[tuple[str, str]]:
    """`count` different pairs, every frame about equally often."""
    r, kinds = Random(seed), frames()
    found: dict[str, str] = {}
    while len(found) < count:
        source, target = pair(kinds[len(found) % len(kinds)], r)
        if source != target:
            found.setdefault(source, target)
    rows = list(found.items())
    r.shuffle(rows)
    return rows


def text() -> str:
    """The file: good rows, six of them twice, and the broken ones strewn in between."""
    rows = good()
    lines = [_line(row) for row in rows]
    r = Random(SEED + 1)
    for extra in (*(_line(row) for row in r.sample(rows[:400], 6)), *BAD):
        lines.insert(r.randint(450, len(lines)), extra)
    return "prompt,completion\n" + "".join(lines)


def _line(row: tuple[str, str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/examples/pairs.csv"))
    parser.parse_args().out.write_text(text())


if __name__ == "__main__":
    main()
