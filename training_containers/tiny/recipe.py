"""The recipe of millrace-tiny: `python -m training_containers.tiny.recipe --out DIR`.

Claim, measured on 2 cores with AMX (torch 2.13, seed 1): see README.md beside this file. A Phi-3-architecture model
of 4.5 million parameters, trained from scratch in bf16 on nothing but grammar.py's sentences and random tokens to copy
what it is given and to make the small edits that a cue asks for. It is a base to fine-tune in tests and demos; it knows
no prose.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import sentencepiece
import torch
from millrace.text.prompt import user_message
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, LlamaTokenizer, Phi3Config, Phi3ForCausalLM

from . import grammar

MARKERS = ("<|user|>", "<|assistant|>", "<|end|>", "<|system|>", "<|endoftext|>")
# What the Phi-3 template comes to once its markers have swallowed the line breaks behind them.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Recipe:
    seed: int = 1
    vocabulary: int = 4096
    width: int = 256
    layers: int = 4
    heads: int = 4
    inner: int = 768
    context: int = 1024
    steps: int = 1800
    tokens: int = 4096
    """Of one step, padding included."""
    rate: float = 3e-3
    """Of AdamW (embeddings, norms), and of Muon on the matrices, scaled to AdamW's update size."""
    warmup: int = 100
    decay_from: float = 0.4
    """Share of the steps after which the rate falls linearly to 0."""
    random_share: float = 0.15
    """Examples made of random tokens: copying that leans on no word."""
    longest: int = 126
    """Tokens of a source or a target."""


# --- tokenizer --------------------------------------------------------------------------------------------------------
def train_tokenizer(recipe: Recipe, out: Path) -> Any:
    """SentencePiece BPE with byte fallback and the chat markers as control symbols, saved both ways."""
    r = Random(recipe.seed)
    lists = grammar.lists()
    listed = [w for words in lists.values() for word in words for w in word.replace("/", " ").split()]
    sentences = [grammar.plain(r) for _ in range(60_000)]
    sentences += [form for word in listed for form in (word, word.capitalize())] * 20
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=pieces,
        model_type="bpe",
        vocab_size=recipe.vocabulary,
        control_symbols=list(MARKERS),
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=0.9999,
        num_threads=1,
        minloglevel=2,
    )
    (out / "tokenizer.model").write_bytes(pieces.getvalue())  # written by itself it would hold the path of `out`
    tokenizer = LlamaTokenizer.from_pretrained(
        out,
        legacy=True,  # a word after a marker begins with a space, as llama.cpp reads it
        add_bos_token=False,
        eos_token="<|end|>",  # noqa: S106 - a marker
        pad_token="<|endoftext|>",  # noqa: S106
        additional_special_tokens=list(MARKERS),
        model_max_length=recipe.context,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(out)
    settle(out)
    return AutoTokenizer.from_pretrained(out)


def settle(folder: Path) -> None:
    """Say what the GGUF converter reads, nothing of where the tokenizer was made, and open texts as SentencePiece does.

    Metaspace leaves out the opening space of a text that has one; SentencePiece and llama.cpp never do.
    """
    told = json.loads((folder / "tokenizer_config.json").read_text())
    for name in ("is_local", "local_files_only"):
        told.pop(name, None)
    told |= {"add_bos_token": False, "add_eos_token": False, "add_prefix_space": True, "legacy": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    whole = json.loads((folder / "tokenizer.json").read_text())
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    whole["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]}
    whole["pre_tokenizer"] = None
    (folder / "tokenizer.json").write_text(json.dumps(whole, indent=2, ensure_ascii=False))


# --- data -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Markers:
    user: int
    assistant: int
    end: int
    pad: int
    first_piece: int
    """Ids from here on are pieces of text; below are control symbols and bytes."""


def markers(tokenizer: Any) -> Markers:
    user, assistant, end, _, pad = (tokenizer.convert_tokens_to_ids(marker) for marker in MARKERS)
    return Markers(user, assistant, end, pad, tokenizer.convert_tokens_to_ids("<0xFF>") + 1)


Pair = tuple[list[int], list[int]]
"""Token ids of the user's message and of the reply, without markers."""


def pairs(recipe: Recipe, tokenizer: Any, r: Random, count: int) -> list[Pair]:
    examples = [grammar.example(r) for _ in range(count)]
    asked = tokenizer([user_message(e.source, e.cue) for e in examples])["input_ids"]
    replied = tokenizer([e.target for e in examples])["input_ids"]
    made = [pair for pair in zip(asked, replied, strict=True) if max(map(len, pair)) <= recipe.longest]
    first = markers(tokenizer).first_piece
    for _ in range(int(count * recipe.random_share)):
        ids = r.choices(range(first, recipe.vocabulary), k=r.choice([r.randint(3, 24), r.randint(3, 80)]))
        made.append((ids, ids))
    return made


def batches(made: list[Pair], m: Markers, tokens: int, r: Random) -> Iterator[tuple[Tensor, Tensor]]:
    """(ids, labels), both (B, T), of like lengths; labels are -100 but on the reply and its end marker.

    T is a multiple of 32 and B x T about `tokens`, so that the matrix kernels see few shapes.
    """
    by_length: dict[int, list[Pair]] = {}
    for pair in made:
        by_length.setdefault(-(-(len(pair[0]) + len(pair[1]) + 4) // 32) * 32, []).append(pair)
    cut = [
        (long, rows[at : at + tokens // long])
        for long, rows in by_length.items()
        for at in range(0, len(rows), tokens // long)
    ]
    r.shuffle(cut)
    for long, rows in cut:
        ids = torch.full((len(rows), long), m.pad)
        labels = torch.full((len(rows), long), -100)
        for index, (a, b) in enumerate(rows):
            row = torch.tensor([m.user, *a, m.end, m.assistant, *b, m.end])
            ids[index, : len(row)] = row
            labels[index, len(a) + 3 : len(row)] = row[len(a) + 3 :]
        yield ids, labels


# --- model and loop ---------------------------------------------------------------------------------------------------
def build(recipe: Recipe, m: Markers) -> Phi3ForCausalLM:
    torch.manual_seed(recipe.seed)
    config = Phi3Config(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        original_max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=m.end,
        pad_token_id=m.pad,
        sliding_window=None,
    )
    model = Phi3ForCausalLM(config).to(torch.bfloat16)
    model.set_attn_implementation("eager")  # at these lengths twice as fast as the fused kernel's backward pass
    return model


def reply_logits(
    body: Callable[..., Any], model: Phi3ForCausalLM, ids: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, V) logits of the N labelled positions alone, and their labels (N,). Right padding needs no mask."""
    hidden = body(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    at = labels[:, 1:] != -100
    return model.lm_head(hidden[at]).float(), labels[:, 1:][at]


def train(recipe: Recipe, tokenizer: Any, out: Path) -> Phi3ForCausalLM:
    """bf16 weights and arithmetic, fp32 masters: AMX does bf16 products eleven times faster than fp32 here."""
    m, r = markers(tokenizer), Random(recipe.seed)
    model = build(recipe, m)
    body = torch.compile(model.model, dynamic=True)
    weights = list(model.parameters())
    masters = [weight.detach().float().clone().requires_grad_() for weight in weights]
    embeddings = {id(model.get_input_embeddings().weight)}
    matrices = [b for a, b in zip(weights, masters, strict=True) if a.ndim == 2 and id(a) not in embeddings]
    others = [b for a, b in zip(weights, masters, strict=True) if a.ndim != 2 or id(a) in embeddings]
    optimisers = [
        torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    held_out = pairs(recipe, tokenizer, Random(recipe.seed + 1), 300)
    began, step, running = time.monotonic(), 0, 0.0
    while step < recipe.steps:
        for ids, labels in batches(pairs(recipe, tokenizer, r, 6000), m, recipe.tokens, r):
            logits, wanted = reply_logits(body, model, ids, labels)
            loss = functional.cross_entropy(logits, wanted)
            loss.backward()  # type: ignore[no-untyped-call]
            for weight, master in zip(weights, masters, strict=True):
                master.grad, weight.grad = weight.grad.float(), None
            torch.nn.utils.clip_grad_norm_(masters, 1.0)
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = recipe.rate * pace(step, recipe)
                optimiser.step()
            with torch.no_grad():
                torch._foreach_copy_(weights, masters)
            step += 1
            running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
            if step % 100 == 0 or step == recipe.steps:
                line = {"step": step, "loss": round(running, 4), "s": round(time.monotonic() - began, 1)}
                if step % 300 == 0 or step == recipe.steps:
                    line |= exact_rates(model, held_out, m)
                    model.save_pretrained(out)
                print(json.dumps(line), flush=True)
            if step == recipe.steps:
                break
    return model


def pace(step: int, recipe: Recipe) -> float:
    """Share of the rate: up over the warm-up, level, then linearly down to 0."""
    falling = (recipe.steps - step) / (recipe.steps * (1 - recipe.decay_from))
    return min(1.0, (step + 1) / recipe.warmup, falling)


@torch.no_grad()
def exact_rates(model: Phi3ForCausalLM, made: list[Pair], m: Markers) -> dict[str, float]:
    """Share of replies whose every token is the likeliest given the ones before: what greedy decoding writes."""
    rates = {}
    for name, rows in (("copied", [p for p in made if p[0] == p[1]]), ("edited", [p for p in made if p[0] != p[1]])):
        exact = 0
        for ids, labels in batches(rows, m, 16_384, Random(0)):
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            right = (model.lm_head(hidden).argmax(-1) == labels[:, 1:]) | (labels[:, 1:] == -100)
            exact += int(right.all(-1).sum())
        rates[name] = round(exact / len(rows), 3)
    return rates


# --- artifact ---------------------------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(steps=options.steps)
    tokenizer = train_tokenizer(recipe, options.out)
    train(recipe, tokenizer, options.out)
    (options.out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")


if __name__ == "__main__":
    main()
