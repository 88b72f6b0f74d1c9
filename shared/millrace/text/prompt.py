"""What a rewriting model of ours is asked: the same words in training, evaluation and serving. Pure."""

from __future__ import annotations


def user_message(source: str, instruction: str = "") -> str:
    """Content of the one user message. `instruction` is a hyperparameter of the training and stands in its manifest."""
    return f"{instruction}\n\n{source}" if instruction else source
