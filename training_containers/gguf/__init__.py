"""From a LoRA adapter and its base to the smallest GGUF that still says the same."""
