"""What millrace-tiny learns from: the same draws for the same seed, copies without a cue, edits that cues name."""

from __future__ import annotations

from random import Random

from training_containers.tiny import grammar


def test_a_seed_gives_the_same_examples() -> None:
    first, second = Random(4), Random(4)

    assert [grammar.example(first) for _ in range(50)] == [grammar.example(second) for _ in range(50)]


def test_without_a_cue_the_target_is_the_source() -> None:
    r = Random(1)
    plain = [made for made in (grammar.example(r) for _ in range(2000)) if not made.cue]

    assert 600 < len(plain) < 1000 and all(made.source == made.target for made in plain)


def test_most_cued_examples_change_something() -> None:
    r = Random(2)

    assert sum(e.source != e.target for e in (grammar.edited(r) for _ in range(500))) > 400


def test_a_nonsense_cue_drops_the_opener_always_or_never() -> None:
    r = Random(3)
    kept: dict[str, list[bool]] = {}
    for made in (grammar.edited(r) for _ in range(8000)):
        cue = made.cue.rstrip(".:").lower()
        if cue in grammar._MODES:
            kept.setdefault(cue, []).append(made.source.split()[0] == made.target.split()[0])

    shares = [sum(flags) / len(flags) for flags in kept.values() if len(flags) >= 10]
    assert len(shares) > 20 and all(share < 0.45 or share > 0.75 for share in shares)
