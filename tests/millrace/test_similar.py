"""What counts as alike, against Jaccard's measure itself."""

from __future__ import annotations

import random

from millrace.similar import ALIKE, BANDS, Clusters, bands, likeness, shingles, signature


def _jaccard(one: str, other: str) -> float:
    a, b = set(shingles(one)), set(shingles(other))
    return len(a & b) / len(a | b)


def _text(draw: random.Random, words: int = 60) -> list[str]:
    return [f"w{draw.randrange(5_000)}" for _ in range(words)]


def _changed(draw: random.Random, words: list[str], share: float) -> str:
    return " ".join(f"x{draw.randrange(9_999)}" if draw.random() < share else word for word in words)


def test_the_estimate_is_jaccards_measure() -> None:
    draw = random.Random(1)
    off = []
    for _ in range(300):
        words = _text(draw)
        one, other = " ".join(words), _changed(draw, words, draw.choice([0.02, 0.05, 0.1, 0.3]))
        off.append(likeness(signature(one), signature(other)) - _jaccard(one, other))

    assert abs(sum(off) / len(off)) < 0.02
    assert (sum(x * x for x in off) / len(off)) ** 0.5 < 0.08


def test_what_is_alike_shares_a_band() -> None:
    draw = random.Random(2)
    met = {True: 0, False: 0}
    for _ in range(600):
        words = _text(draw)
        one, other = " ".join(words), _changed(draw, words, 0.03)
        if _jaccard(one, other) >= 0.8:
            met[bool(set(bands(signature(one))) & set(bands(signature(other))))] += 1

    assert sum(met.values()) > 200
    assert met[True] / sum(met.values()) > 0.99


def test_a_template_with_other_facts_is_another_text() -> None:
    one, other = "We moved 3 servers to hall 7 on Monday.", "We moved 9 servers to hall 2 on Friday."

    assert _jaccard(one, other) < ALIKE and likeness(signature(one), signature(other)) < ALIKE


def test_case_and_punctuation_make_no_other_text() -> None:
    assert signature("The Results, we think, ARE good!") == signature("the results we think are good")


def test_clusters_are_those_of_comparing_everything_with_everything() -> None:
    draw = random.Random(3)
    texts = [" ".join(_text(draw)) for _ in range(60)]
    texts += [_changed(draw, draw.choice(texts).split(), 0.01) for _ in range(60)]
    clusters = Clusters()
    for text in texts:
        clusters.add(text)

    told = clusters.join()

    signed = [signature(text) for text in texts]
    parent = list(range(len(texts)))

    def root(n: int) -> int:
        return n if parent[n] == n else root(parent[n])

    for a in range(len(texts)):
        for b in range(a):
            if likeness(signed[a], signed[b]) >= ALIKE and root(a) != root(b):
                parent[max(root(a), root(b))] = min(root(a), root(b))
    wanted = [root(n) for n in range(len(texts))]
    assert len(set(wanted)) < 90
    assert sum(a != b for a, b in zip(told, wanted, strict=True)) <= 2  # a pair at the very edge may share no band


def test_a_text_has_a_name_for_each_band_and_no_text_at_all_has_too() -> None:
    assert len(set(bands(signature("one two three four")))) == BANDS
    assert len(bands(signature(""))) == BANDS


def test_the_same_text_has_the_same_bands_in_every_process() -> None:
    """They lie in the table: another value here is a migration."""
    assert bands(signature("the quick brown fox jumps over the lazy dog"))[0] == "08bb3e8acc66a3987"
