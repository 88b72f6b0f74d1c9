from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from millrace.fit import MIN_KNOWN_SHARE, Fit

TEXTS = st.lists(st.text(max_size=60), max_size=12)


def _fit(sources: list[str]) -> Fit:
    return Fit.of((source, None) for source in sources)


@given(TEXTS)
def test_what_was_trained_on_is_never_called_foreign(sources: list[str]) -> None:
    fit = Fit.from_dict(vars(_fit(sources)))

    for source in sources:
        assert fit.known_share(source) == 1.0
        assert fit.misfit(source) is None


@given(st.text(max_size=80))
def test_without_a_profile_everything_fits(text: str) -> None:
    assert Fit.from_dict({}).misfit(text) is None


def test_false_positives_are_about_as_rare_as_the_filter_promises() -> None:
    draw = random.Random(7)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(12_000)]
    fit = _fit([" ".join(words[:2_000])])

    wrong = sum(fit.known_share(word) for word in words[2_000:])

    assert wrong / 10_000 < 0.01


def test_a_text_longer_than_any_in_training_does_not_fit() -> None:
    fit = _fit(["one two three"])

    assert fit.misfit("one two three") is None
    assert fit.misfit("one two three one") == "the text has 4 words and the longest it was trained on 3"


def test_a_text_of_strange_words_does_not_fit() -> None:
    fit = _fit(["alpha beta gamma delta epsilon zeta eta theta iota kappa"])

    assert fit.misfit("alpha beta gamma delta foreign") is None  # 80 %
    assert f"{MIN_KNOWN_SHARE:.0%} are asked for" in str(fit.misfit("alpha beta gamma strange foreign"))


def test_case_and_numbers_make_no_difference() -> None:
    fit = _fit(["We don’t use servers"])
    assert fit.known_share("WE DON’T USE 17 SERVERS") == 1.0


def test_one_long_text_among_many_is_no_training_on_long_texts() -> None:
    """H6: a single correction of a long answer must not open every long text to a small model."""
    fit = _fit(["a short one"] * 500 + ["word " * 60])

    assert fit.max_words == 3


def test_a_change_of_words_that_training_never_showed_is_strange() -> None:
    """H8: a small model that stumbles writes fluent nonsense, and no rule about facts sees it."""
    sources = ["Moreover, that is why the team retained the keys.", "Notably, we do not utilize the lift."]
    targets = ["That's why the team kept the keys.", "We don't use the lift."]
    fit = Fit.from_dict(vars(Fit.of(zip(sources, targets, strict=True))))

    for source, target in zip(sources, targets, strict=True):
        assert fit.strange(source, target) == []
    assert fit.strange("That is why we retained the lift.", "That's why we kept the lift.") == []
    assert fit.strange("That is why we retained the lift.", "That's why we need test the lift.") == [
        ("retained", "need test")
    ]
    assert fit.strange("We retained the blue keys.", "We kept the keys.") == [("blue", "")]
    assert _fit(sources).strange("a b", "c d") == []
