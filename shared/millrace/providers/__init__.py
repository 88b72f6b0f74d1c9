"""Who can answer: one small file each behind one Protocol, and the table of them.

A provider imports its SDK when it is first called, has no retries of its own, and maps foreign errors to ours:
Unavailable and what derives from it let the next route try. Nothing here imports an SDK or an HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ..catalogue import Entry
from ..errors import Declined, InvalidInput

if TYPE_CHECKING:
    from .reach import Reach


@dataclass(frozen=True)
class Ask:
    text: str
    strength: str = "medium"
    tone: str = "plain"
    seed: int = 0
    voice: str = ""
    """Of a voice card: how its owner writes, a few lines."""


@dataclass(frozen=True)
class Message:
    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True)
class Talk:
    """A conversation and how it should go on. What a model's row does not allow is left out of its request."""

    messages: tuple[Message, ...]
    max_tokens: int = 0
    """0 leaves it to the model."""
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @property
    def system(self) -> str:
        return "\n\n".join(m.content for m in self.messages if m.role in ("system", "developer"))

    @property
    def turns(self) -> list[Message]:
        return [m for m in self.messages if m.role not in ("system", "developer")]


@dataclass(frozen=True)
class Completion:
    text: str
    input_tokens: int = 0
    """Cached ones among them."""
    output_tokens: int = 0
    """Thinking among them."""
    cached_tokens: int = 0
    finish: str = "stop"
    """stop or length."""
    flags: tuple[str, ...] = ()
    """usage-estimated, usage-clamped: the reply's own counts were missing or could not be true."""


class CutOff(Declined):
    """The answer ended at its limit before it was whole; it is billed all the same, so what it took comes along.

    Not what it said: an error may be logged.
    """

    def __init__(self, entry: Entry, completion: Completion) -> None:
        super().__init__(f"{entry.id} was cut off before the rewrite was whole.")
        self.completion = replace(completion, text="")


@dataclass(frozen=True)
class Health:
    ok: bool
    text: str
    latency_ms: float = 0.0


class Provider(Protocol):
    def __call__(self, entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        """A rewrite of `ask.text`, not yet verified. Unavailable where there is no answer in time."""


class Talker(Protocol):
    """What a module of this package offers when it speaks to a language model."""

    def chat(self, entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Completion: ...

    def stream(self, entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Iterator[str | Completion]:
        """Pieces of text as they come, then the whole Completion."""

    def health(self, entry: Entry, timeout_s: float, reach: Reach) -> Health: ...


@dataclass(frozen=True)
class Spec:
    module: str
    """Below this package."""
    key: str | None = None
    """Name of its key in the secret."""
    url: str | None = None
    price_list: str | None = None
    """Its id in genai-prices."""
    talks: bool = True
    """Takes a conversation; else only a text to rewrite."""
    own_url: bool = field(default=False, kw_only=True)
    """Lies where the catalogue row says."""
    bounded: bool = field(default=False, kw_only=True)
    """A whole answer ends at the deadline by itself, whatever the other side does: no thread is needed to leave it."""


PROVIDERS: dict[str, Spec] = {
    "openai": Spec("openai", "OPENAI_API_KEY", "https://api.openai.com/v1", "openai", bounded=True),
    "anthropic": Spec("anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com", "anthropic"),
    "google": Spec("google", "GOOGLE_API_KEY", "https://generativelanguage.googleapis.com", "google"),
    "groq": Spec("openai", "GROQ_API_KEY", "https://api.groq.com/openai/v1", "groq", bounded=True),
    "custom": Spec("openai", own_url=True, bounded=True),
    "gguf": Spec("openai", own_url=True, bounded=True),
    "tfserving": Spec("tfserving", talks=False, own_url=True),
    "torchserve": Spec("torchserve", talks=False, own_url=True),
    "own": Spec("own"),
    "sagemaker": Spec("own"),
    "rules": Spec("rules", talks=False),
}
"""Name in the catalogue -> who speaks to it; adding one is its file, this line and its test."""


def other_urls(told: str) -> dict[str, str]:
    """Provider -> the URL in the place of its own, of "openai=https://proxy.example.com/v1,...". Else InvalidInput."""
    found = {}
    for part in filter(None, (part.strip() for part in told.split(","))):
        name, _, url = part.partition("=")
        if name not in PROVIDERS or PROVIDERS[name].url is None or not url.startswith(("https://", "http://")):
            named = ", ".join(name for name, spec in PROVIDERS.items() if spec.url)
            raise InvalidInput(f"{part!r} is not PROVIDER=URL with one of {named}.")
        found[name] = url.rstrip("/")
    return found


def provider(name: str) -> Provider:
    module = _module(name)
    if hasattr(module, "complete"):
        found: Callable[..., Completion] = module.complete
        return found
    return partial(_rewrite, module)


def chat(entry: Entry, talk: Talk, timeout_s: float) -> Completion:
    """Plain conversation with a model. Declined where it only rewrites."""
    return _talker(entry).chat(entry, talk, timeout_s, _reach())


def stream(entry: Entry, talk: Talk, timeout_s: float) -> Iterator[str | Completion]:
    """Pieces of text, then the whole Completion. The deadline holds over all of it."""
    return _talker(entry).stream(entry, talk, timeout_s, _reach())


def obstacle(entry: Entry) -> str | None:
    """Why this model cannot be called at all just now, in a sentence; None where nothing is known to be missing."""
    return _reach().obstacle(entry)


def health(entry: Entry, timeout_s: float) -> Health:
    """Asks the back end itself; never raises for a sick one."""
    check: Callable[..., Health] = getattr(_module(entry.provider), "health", _always)
    return check(entry, timeout_s, _reach())


def _rewrite(module: Talker, entry: Entry, ask: Ask, timeout_s: float) -> Completion:
    from .prompt import ask_for, rewrite_of

    talk = ask_for(entry, ask)
    return rewrite_of(entry, ask, module.chat(entry, talk, timeout_s, _reach()))


def _talker(entry: Entry) -> Talker:
    if not PROVIDERS[entry.provider].talks:
        raise Declined(f"{entry.id} rewrites texts and does not take a conversation.")
    talker: Talker = _module(entry.provider)
    return talker


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{PROVIDERS[name].module}")


def _reach() -> Reach:
    from .reach import reach

    return reach()


def _always(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    return Health(True, f"{entry.id} is part of the product.")
