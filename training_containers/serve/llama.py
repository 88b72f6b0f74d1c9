"""llama.cpp through its C interface: one set of weights, any number of contexts.

llama-cpp-python's own `Llama` loads the weights again for every context; here they are shared. The parity check of
training_containers/gguf measures with this very code, so what is measured is what is served.
A Model may be shared between threads, a Context may not.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from millrace.errors import Corrupt, InvalidInput, Unavailable
from numpy.typing import NDArray

from . import header
from .likelihood import Likelihood, likelihood

BATCH: Final = 512
STEP: Final = 64
"""Rows of logits that are held at once when a text is judged: 80 MB of a vocabulary of 150,000, as doubles."""
SMALL: Final = 256 * 2**20
"""Bytes below which a second thread waits more than it works: 4,800 tok/s with one thread at 3 MB, 110 with two on a
machine whose cores are busy with something else."""
_SENTENCEPIECE: Final = 1
_last_error = threading.local()


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: Any) -> None:
    """Keep llama.cpp's last error for our sentence; the rest of its chatter goes nowhere."""
    if level == 4:
        _last_error.text = text.decode(errors="replace").strip()


llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy and always the same; otherwise nucleus sampling from a seed."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Aborted(Exception):
    """Decoding was stopped from outside."""


class Model:
    """Weights and vocabulary of a GGUF file. Its header is checked before llama.cpp opens it."""

    def __init__(self, path: Path, gpu_layers: int = 0) -> None:
        self.header = header.read(path)
        self.size_bytes = path.stat().st_size
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        _last_error.text = ""
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise Corrupt(f"llama.cpp cannot load {path.name}: {_last_error.text or 'it gives no reason'}.")
        self.vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = llama_cpp.llama_model_n_ctx_train(self._model)
        self.sentencepiece: bool = llama_cpp.llama_vocab_type(self.vocab) == _SENTENCEPIECE
        self.template = str(self.header.metadata.get("tokenizer.chat_template", ""))
        self._formatter = self._chat_formatter() if self.template else None

    def _chat_formatter(self) -> Jinja2ChatFormatter:
        """Jinja's sandbox renders the template: it comes out of a model file."""
        ids = (llama_cpp.llama_vocab_eos(self.vocab), llama_cpp.llama_vocab_bos(self.vocab))
        eos, bos = (self.text_of(id) if id >= 0 else "" for id in ids)
        return Jinja2ChatFormatter(template=self.template, eos_token=eos, bos_token=bos)

    def text_of(self, token: int) -> str:
        """The piece as the vocabulary spells it, markers included."""
        text: bytes = llama_cpp.llama_vocab_get_text(self.vocab, token)
        return text.decode(errors="replace")

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt that the chat template makes of the messages, the assistant's turn opened."""
        if self._formatter is None:
            raise InvalidInput("This model has no chat template, so it cannot answer messages.")
        try:
            return str(self._formatter(messages=list(messages)).prompt)
        except Exception as error:  # jinja2's errors and whatever a template raises on purpose
            raise InvalidInput(f"The model's chat template refuses these messages: {error}") from error

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids, without a BOS. `special`: markers in the text become their own tokens."""
        raw = text.encode()
        room = len(raw) + 8
        while True:
            tokens = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), tokens, room, False, special)
            if count >= 0:
                return list(tokens[:count])
            room = -count

    def opened(self, text: str) -> list[int]:
        """Token ids of a plain text after the token that begins one, or that ends the last."""
        begin = (llama_cpp.llama_vocab_bos(self.vocab), llama_cpp.llama_vocab_eos(self.vocab))
        return [*[int(token) for token in begin if token >= 0][:1], *self.tokenize(text, special=False)]

    def prompt(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Token ids of the rendered messages, nothing added: what the template writes is what the model learnt from.

        A marker that a message spells out stays text: it can neither end a turn nor open another.
        """
        if any(marker in message["content"] for message in messages for marker in self.markers):
            return self._guarded(messages)
        return self.tokenize(self.render(messages))

    def _guarded(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """The same with each content cut out of the rendered text and tokenized for itself, as plain text."""
        held = [{**message, "content": f"\ue000{i}\ue001"} for i, message in enumerate(messages)]
        parts = re.split("\ue000([0-9]+)\ue001", self.render(held))
        tokens = self.tokenize(parts[0])
        for i, after in zip(parts[1::2], parts[2::2], strict=True):
            tokens += self.tokenize(messages[int(i)]["content"], special=False) + self.tokenize(after)
        return tokens

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """How the vocabulary spells its control tokens."""
        return tuple(self.text_of(t) for t in range(self.n_vocab) if llama_cpp.llama_vocab_is_control(self.vocab, t))

    def piece(self, token: int, first: bool = False) -> bytes:
        """Bytes of a token as text, markers as nothing. SentencePiece opens a text with a space: `first` drops it."""
        lstrip = 1 if first and self.sentencepiece else 0
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, room, lstrip, False)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def text(self, tokens: Sequence[int]) -> str:
        return b"".join(self.piece(t, first=i == 0) for i, t in enumerate(tokens)).decode(errors="replace")

    def threads(self, cores: int) -> int:
        """Threads that one context is best given."""
        return 1 if self.size_bytes < SMALL else cores

    @cached_property
    def end_of_turn(self) -> int:
        """The token that closes an answer: what the template writes after one, else EOS."""
        said = "\ue000"
        rendered = self.render([{"role": "user", "content": "."}, {"role": "assistant", "content": said}])
        after = self.tokenize(rendered.rpartition(said)[2])[:1]
        return after[0] if after and self.ends(after[0]) else int(llama_cpp.llama_vocab_eos(self.vocab))

    def ends(self, token: int) -> bool:
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def close(self) -> None:
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None


class Context:
    """A key-value cache and its scratch memory over shared weights. For one thread at a time."""

    def __init__(self, model: Model, n_ctx: int, n_threads: int = 1) -> None:
        self.model, self.n_ctx = model, n_ctx
        self.stop: Callable[[], bool] = lambda: False
        """Asked between graph nodes: True ends a long prompt within milliseconds."""
        self._abort = llama_cpp.ggml_abort_callback(lambda _: self.stop())
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = n_ctx, 1
        parameters.n_batch = parameters.n_ubatch = min(BATCH, n_ctx)
        parameters.n_threads = parameters.n_threads_batch = n_threads
        parameters.abort_callback = self._abort
        parameters.no_perf = True
        _last_error.text = ""
        self._context = llama_cpp.llama_init_from_model(model._model, parameters)
        if not self._context:
            raise Unavailable(f"No memory for a context of {n_ctx} tokens: {_last_error.text or 'llama.cpp refused'}.")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(min(BATCH, n_ctx), 0, 1)
        self.used = 0

    def reset(self) -> None:
        """Forget everything: no request sees a trace of another."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self.used = 0

    def close(self) -> None:
        if self._context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            self._context = None

    def feed(self, tokens: Sequence[int], wanted: int = 1) -> Iterator[NDArray[np.float32]]:
        """Decode tokens after what is held; yields logits (rows, n_vocab) of the last `wanted` of them.

        The rows are copies, in order, as many per yield as one batch had.
        """
        first_wanted = len(tokens) - wanted
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            rows = [i for i in range(len(part)) if start + i >= first_wanted]
            self._decode(part, set(rows))
            if rows:
                yield np.stack([self._logits(i) for i in rows])

    def likelihood(self, tokens: Sequence[int]) -> Likelihood:
        """How likely the tokens are after the first, which is not judged. They fit the context."""
        self.reset()
        return likelihood(self._steps(tokens))

    def _steps(self, tokens: Sequence[int]) -> Iterator[tuple[NDArray[np.float32], Sequence[int]]]:
        for start in range(0, len(tokens) - 1, STEP):
            coming = tokens[start + 1 : start + 1 + STEP]
            part = tokens[start : start + len(coming)]
            yield next(self.feed(part, wanted=len(part))), coming

    def generate(self, prompt: Sequence[int], max_tokens: int, sampling: Sampling) -> Iterator[int]:
        """Tokens after `prompt` until the model ends its turn, `max_tokens` or the context is full."""
        self.reset()
        sampler = _sampler(sampling)
        try:
            for start in range(0, len(prompt), BATCH):
                part = prompt[start : start + BATCH]
                last = start + len(part) == len(prompt)
                self._decode(part, {len(part) - 1} if last else set())
            for _ in range(min(max_tokens, self.n_ctx - len(prompt))):
                token = int(llama_cpp.llama_sampler_sample(sampler, self._context, -1))
                if self.model.ends(token):
                    return
                yield token
                if self.used < self.n_ctx:
                    self._decode([token], {0})
        finally:
            llama_cpp.llama_sampler_free(sampler)

    def _logits(self, row: int) -> NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self.model.n_vocab,)).copy()

    def _decode(self, tokens: Sequence[int], wanted: set[int]) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, self.used + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = i in wanted
        code = llama_cpp.llama_decode(self._context, batch)
        if code == 2:
            raise Aborted
        if code == 1:
            raise InvalidInput(f"The context of {self.n_ctx} tokens is full.")
        if code != 0:
            raise Unavailable(f"llama.cpp could not decode (code {code}): {_last_error.text}")
        self.used += len(tokens)


def _sampler(sampling: Sampling) -> Any:
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    if sampling.temperature <= 0:
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
        return chain
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_temp(sampling.temperature))
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(sampling.seed))
    return chain


class Utf8:
    """Bytes of tokens -> text; a letter that is split over tokens waits for its last byte."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, raw: bytes, last: bool = False) -> str:
        return self._decoder.decode(raw, last)
