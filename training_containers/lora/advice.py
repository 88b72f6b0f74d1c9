"""Learning rate, rank and epochs from the rows and the base. Pure; what the user gives stands.

Rate: 2e-4 at width 3,072, the usual one for LoRA (Hu et al. 2021; Dettmers et al. 2023 use it up to 13B), rising as the
width falls, as maximal-update arguments have it (Yang et al. 2022); beyond 5,000 rows it falls with their root, since
there are steps enough. Preferences move an adapter further a step: a quarter of it, a fifth without the likelihood of
the chosen answer. Rank: doubled with every tenfold of rows, since what a few hundred rows say fits in little.
Epochs: about 3,200 rows seen, 2 to 30 times each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from .settings import LoraSettings

Wanted = TypeVar("Wanted", bound=LoraSettings)
SEEN: Final = 3200
RATE, WIDTH, HIGHEST_RATE = 2e-4, 3072, 4e-3
MANY: Final = 5000
_RANKS: Final = ((100, 8), (2_000, 16), (20_000, 32))


@dataclass(frozen=True)
class Advice:
    learning_rate: float
    rank: int
    epochs: int

    def sentences(self, rows: int, width: int) -> list[str]:
        """For the report."""
        return [
            f"Learning rate {self.learning_rate:.3g}: {RATE:g} at width {WIDTH:,}, here {width:,} and {rows:,} rows.",
            f"Rank {self.rank}: {rows:,} rows carry no more than that.",
            f"At most {self.epochs} epochs: about {SEEN:,} rows seen, and it ends when the held-out loss stands still.",
        ]


def advise(rows: int, width: int, share_of_rate: float = 1.0) -> Advice:
    """rows: in the training split, >= 1. width: hidden size of the base. share_of_rate: of the rate for plain pairs."""
    rate = min(HIGHEST_RATE, RATE * WIDTH / width) * min(1.0, (MANY / rows) ** 0.5) * share_of_rate
    rank = next((rank for most, rank in _RANKS if rows < most), 64)
    return Advice(float(f"{rate:.3g}"), rank, max(2, min(30, round(SEEN / rows))))


def filled(wanted: Wanted, advice: Advice) -> Wanted:
    """The settings with the advice wherever they say 0."""
    rank = wanted.rank or advice.rank
    values = {
        "learning_rate": wanted.learning_rate or advice.learning_rate,
        "rank": rank,
        "alpha": wanted.alpha or min(512, 2 * rank),
        "epochs": wanted.epochs or advice.epochs,
    }
    return wanted.model_copy(update=values)
