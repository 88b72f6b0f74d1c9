"""The use-case: work on a rewrite until it is done or the slice of time is over. AWS: through what it is handed.

Each section goes through the same humanizer as a request does, and each text is verified as a whole at the end. In a
batch a text that cannot be answered says why; of a single text that is the job's failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from .catalogue import RULES
from .contract import JobState
from .errors import (
    Conflict,
    Corrupt,
    Declined,
    InvalidInput,
    MillraceError,
    ProviderRefused,
    Unavailable,
    Unfaithful,
    told,
)
from .humanize import Humanizer
from .providers import Ask
from .rewrites import Order, Rewrites, caller_of
from .routing import AUTO
from .sections import Answered, Section, kept, whole
from .table import Item
from .tenants import Tenant

PARALLEL = 4
"""Short texts of one stretch at a time; a long text has its own parallel paragraphs."""
SLICE_S = 120.0
"""Of one run of the function; what is left by then is queued again."""


@dataclass(frozen=True)
class Rewriting:
    rewrites: Rewrites
    humanizer: Humanizer
    clock: Callable[[], float] = time.monotonic

    def work(self, tenant: Tenant, id: str, last: bool = False) -> str:
        """done, more (queued again), cancelled, or nothing to do. `last`: tried often enough, it ends as failed.

        Unavailable where it should be tried again later: the message comes back by itself.
        """
        item = self.rewrites.begin(tenant, id)
        if item is None:
            return "nothing"
        try:
            return self._worked(tenant, item, last)
        except Conflict:
            if self.rewrites.get(tenant, id)["state"] == JobState.CANCELLED:
                return "cancelled"
            raise

    def _worked(self, tenant: Tenant, item: Item, last: bool) -> str:
        if last:
            again = Unavailable(item.get("trouble") or "The work on it broke off again and again.")
            self.rewrites.fail(tenant, item, told(again))
            return "failed"
        try:
            return self._slice(caller_of(item, tenant.id), item)
        except MillraceError as error:
            if _passing(error):
                self.rewrites.give_back(item, error)
                raise
            self.rewrites.fail(tenant, item, told(error))
            return "failed"

    def _slice(self, tenant: Tenant, item: Item) -> str:
        until = self.clock() + SLICE_S
        order = self.rewrites.order(item)
        plan = self.rewrites.plan(tenant, item["id"], order)
        for number in range(item["done"], len(plan)):
            if self.clock() >= until:
                self.rewrites.go_on(tenant, item)
                return "more"
            answers = self._stretch(tenant, order, plan[number])
            item = self.rewrites.keep(tenant, item, number, answers, sum(section.parts for section in plan[number]))
        answers = self.rewrites.kept(tenant, item["id"], len(plan))
        self.rewrites.complete(tenant, item, result(order, [s for stretch in plan for s in stretch], answers))
        return "done"

    def _stretch(self, tenant: Tenant, order: Order, stretch: Sequence[Section]) -> list[dict[str, Any]]:
        def one(section: Section) -> dict[str, Any]:
            try:
                return asdict(self._section(tenant, order, section))
            except MillraceError as error:
                if not order.batch or isinstance(error, Conflict | Corrupt):
                    raise
                return {"problem": told(error)}

        if len(stretch) == 1:
            return [one(stretch[0])]
        with ThreadPoolExecutor(PARALLEL, "text") as pool:
            return list(pool.map(one, stretch))

    def _section(self, tenant: Tenant, order: Order, section: Section) -> Answered:
        whole_text = order.texts[section.at][1]
        text = whole_text[section.start : section.end]
        if section.kept and whole_text.strip():
            return kept(text)
        ask = Ask(text, order.strength, order.tone, voice=order.voice)
        try:
            answer = self.humanizer.humanize(tenant, ask, order.wish)
        except Unfaithful as error:  # its draft in its place, so that it can be compared with the text
            draft = whole_text[: section.start] + error.draft + whole_text[section.end :]
            raise Unfaithful(str(error), draft, error.violations) from error
        return Answered(
            answer.text, answer.model_id, answer.decision_id, answer.reasons, answer.usage, answer.latency_ms
        )


def result(order: Order, sections: Sequence[Section], answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a request would have answered: of one text its answer, of a batch an item for each."""
    by_text: dict[int, list[tuple[Section, dict[str, Any]]]] = {}
    for section, answer in zip(sections, answers, strict=True):
        by_text.setdefault(section.at, []).append((section, answer))
    if not order.batch:
        return _whole(order, order.texts[0][1], by_text[0])
    items = [_item(order, id, text, by_text.get(at, [])) for at, (id, text) in enumerate(order.texts)]
    done = sum(item["state"] == "done" for item in items)
    return {"items": items, "done": done, "failed": len(items) - done}


def _whole(order: Order, text: str, answered: Sequence[tuple[Section, dict[str, Any]]]) -> dict[str, Any]:
    """Unfaithful where a named model's sections do not verify together."""
    sections = [section for section, _ in answered]
    wished = order.wish not in (None, "", AUTO, RULES.id)
    return whole(text, sections, [Answered(**answer) for _, answer in answered], wished)


def _item(order: Order, id: str, text: str, answered: Sequence[tuple[Section, dict[str, Any]]]) -> dict[str, Any]:
    failed = next((answer["problem"] for _, answer in answered if "problem" in answer), None)
    if failed is None and not answered:
        failed = told(InvalidInput("The text is empty; send the text to be humanized."))
    if failed is not None:
        return {"id": id, "state": "failed", "problem": failed}
    try:
        return {"id": id, "state": "done", "result": _whole(order, text, answered)}
    except Unfaithful as error:
        return {"id": id, "state": "failed", "problem": told(error)}


def _passing(error: MillraceError) -> bool:
    """Whether the same work may succeed later. Another worker's success is not ours to undo."""
    if isinstance(error, Conflict):
        return True
    return isinstance(error, Unavailable) and not isinstance(error, ProviderRefused | Declined)
