"""Entry points only: parse, call one use-case, shape the reply."""
