"""LoRA fine-tuning of a causal language model on source/target pairs, and its evaluation against the base."""
