"""A Phi-3-shaped model with random weights and its own SentencePiece tokenizer, small enough for a test.

Width 256 because K-quants want multiples of 256. It writes nonsense, and always the same nonsense: what the tests
compare is that two programs agree about it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

PIECES = 512
TEMPLATE = (
    "{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
MARKERS = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]
WORDS = (
    "the a of to and in that we it is was for on with as at by this from they have had not are but what all were when "
    "your can said there use an each which she do how their if will up other about out many then them these so some "
    "her would make like him into time has look two more write go see number no way could people my than first water "
    "been call who oil its now find long down day did get come made may part meeting budget Tuesday report team plan"
).split()


def sentences(count: int, seed: int = 7) -> list[str]:
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        words = [draw.choice(WORDS) for _ in range(draw.randint(5, 12))]
        lines.append(" ".join(words).capitalize() + draw.choice([".", "!", "?", f", {draw.randint(1, 99)}."]))
    return lines


def tokenizer(folder: Path) -> None:
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences(3000)),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=PIECES,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        control_symbols=MARKERS,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "<|end|>",
        "unk_token": "<unk>",
        "pad_token": "<|endoftext|>",
        "add_bos_token": False,
        "add_eos_token": False,
        "legacy": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def base(folder: Path, seed: int = 3) -> Path:
    """Write the model, as Hugging Face lays it out."""
    import torch
    from sentencepiece import SentencePieceProcessor
    from transformers import Phi3Config, Phi3ForCausalLM

    tokenizer(folder)
    pieces = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=PIECES,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        original_max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=pieces.piece_to_id("<|end|>"),
        pad_token_id=pieces.piece_to_id("<|endoftext|>"),
        initializer_range=0.08,
    )
    Phi3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def adapter(folder: Path, base: Path, seed: int = 5) -> Path:
    """A LoRA adapter of rank 4 on every linear layer, its B matrices random so that it changes something."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from training_containers.common import manifest

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    manifest.write(
        folder,
        format="adapter",
        strategy="lora-sft",
        metrics={},
        hyperparameters={"instruction": ""},
        source=Path(__file__).parent,
        base="random-phi3",
    )
    return folder
