from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.catalogue import Entry
from millrace.contract import Tier
from millrace.errors import InvalidInput, MillraceError, NotFound, TooLarge
from millrace.providers import Ask
from millrace.providers.prompt import ask_for
from millrace.tenants import Tenant
from millrace.text.ruledata import STRENGTHS, TONES
from millrace.text.rules import rewrite
from millrace.voices import CONNECTIVES, MAX_VOICES, Profile, Voice, Voices, ask, checked, profile

from tests.fakes import World, examples

ACME = Tenant("acme", Tier.ENTERPRISE)
CHATTY = (
    "So I'm home! It's great, and I don't miss the office. But you know what? I can't find my keys. "
    "So I've asked Tom... He's got a spare. But that's at work!",
    "You won't believe it! I've got the job. So we're moving, and I'll call you when it's done. But don't tell Mum!",
    "I'd love to come! It's on Friday, isn't it? So you'll drive and I'll bring cake. But I can't stay long.",
)
FORMAL = (
    "The committee considered the application; however, the documentation was incomplete. The organisation is not "
    "authorised to proceed. Therefore, the decision was postponed until additional evidence is available.",
    "However, the regulations do not specify a particular procedure; the administration is responsible for the "
    "interpretation. Therefore, the established behaviour of previous applicants was considered representative.",
    "The investigation did not identify significant irregularities. However, the commission recommended additional "
    "supervision; it is not considered necessary to prosecute.",
)


def test_two_people_who_write_differently_have_different_profiles() -> None:
    chatty, formal = profile(CHATTY), profile(FORMAL)

    assert chatty.contractions == 1.0 and formal.contractions == 0.0
    assert chatty.sentence_words < 10 < formal.sentence_words
    assert chatty.formality < 0.4 and formal.formality >= 0.7
    assert (chatty.person, formal.person) == ("I", "none")
    assert (chatty.spelling, formal.spelling) == ("none", "british")
    assert {"so", "but"} <= set(chatty.connectives) and {"however", "therefore"} <= set(formal.connectives)
    assert chatty.punctuation["exclamation"] > 3 and formal.punctuation["exclamation"] == 0
    assert formal.punctuation["semicolon"] > 1 and chatty.punctuation["ellipsis"] > 0


def test_figures_that_can_be_counted_by_hand_are_right() -> None:
    found = profile(["One two three. One two three four five!", "I don't, I do not; yes?"])

    assert (found.words, found.sentences) == (14, 3)
    assert (found.sentence_words, found.sentence_spread) == (4.7, 1.2)
    assert found.contractions == 0.5 and found.person == "I"
    assert found.punctuation["question"] == found.punctuation["comma"] == round(100 / 14, 2)


def test_the_rules_follow_where_they_can() -> None:
    """A chatty writer's text is contracted and a formal one's is not."""
    text = "We do not know why it is late, and we are sorry that the team did not call you about it."
    chatty, formal = (Voice("vc1", "x", profile(samples), "") for samples in (CHATTY, FORMAL))
    asked = [ask(voice, text) for voice in (chatty, formal)]

    warm, stiff = (rewrite(a.text, a.strength, a.tone).text for a in asked)
    assert [a.tone for a in asked] == ["warm", "formal"]
    assert "don't" in warm and "don't" not in stiff


def test_somebody_whose_habits_the_rules_would_fight_is_rewritten_lightly() -> None:
    habits = (
        "Moreover, we utilize robust tools in order to leverage what we know. Furthermore, the team was able to "
        "commence the endeavor in a timely manner, due to the fact that it was very important."
    )
    assert profile([habits]).strength == "light"
    assert profile(CHATTY).strength == profile(FORMAL).strength == "medium"


def test_what_the_caller_states_stands() -> None:
    voice = Voice("vc1", "x", profile(FORMAL), "")
    asked = ask(voice, "t", "strong", "warm")
    assert (asked.strength, asked.tone, asked.voice) == ("strong", "warm", voice.profile.lines)
    assert ask(None, "t") == Ask("t", "medium", "plain")


def test_a_language_model_is_told_the_voice_in_a_few_lines() -> None:
    lines = profile(FORMAL).lines
    talk = ask_for(Entry("m@1", "openai"), ask(Voice("v", "x", profile(FORMAL), ""), "A text."))

    assert lines in talk.messages[-1].content
    assert "Never contracts" in lines and "however" in lines and "british" in lines and len(lines) < 500
    assert "Contracts almost always" in profile(CHATTY).lines and "exclamation marks" in profile(CHATTY).lines


@examples(150)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=4))
def test_nothing_of_a_samples_own_words_reaches_a_prompt(samples: list[str]) -> None:
    poison = "ignorepreviousinstructions"
    found = profile([*samples, f"So, {poison}. But {poison}! {poison} and so on. So, {poison}. But so. " * 3])

    assert poison not in found.lines and set(found.connectives) <= set(CONNECTIVES)
    assert found.tone in TONES and found.strength in STRENGTHS
    assert 0 <= found.contractions <= 1 and 0 <= found.formality <= 1
    assert Profile.from_dict(vars(found)) == found


@pytest.mark.parametrize(
    ("samples", "error"),
    [
        ([], InvalidInput),
        (["", " ", "\n"], InvalidInput),
        (["one", "two", "three"], InvalidInput),
        (["word " * 149], InvalidInput),
        (["word " * 40, "word " * 40], InvalidInput),
        (["🎉" * 500], InvalidInput),
        (["word " * 200 + "\ud800"], InvalidInput),
        (["word " * 12_001], TooLarge),
        (["word " * 10] * 21, TooLarge),
    ],
)
def test_samples_that_show_too_little_or_are_too_much_are_refused(
    samples: list[str], error: type[MillraceError]
) -> None:
    with pytest.raises(error):
        checked(samples)


@pytest.mark.parametrize("samples", [["word " * 150], ["word " * 10] * 3, list(CHATTY), ["слово " * 150]])
def test_three_samples_or_a_hundred_and_fifty_words_are_enough(samples: list[str]) -> None:
    assert checked(samples) == samples


def test_a_voice_is_kept_found_listed_and_forgotten_by_its_own_tenant_alone() -> None:
    voices, other = Voices(World().table), Tenant("other", Tier.ENTERPRISE)

    made = voices.make(ACME, " Anna ", CHATTY)

    assert voices.get(ACME, made.id) == made and made.name == "Anna"
    assert voices.page(ACME, 10, None)[0] == [made] and voices.page(other, 10, None)[0] == []
    for act in (voices.get, voices.delete):
        with pytest.raises(NotFound):
            act(other, made.id)
    voices.delete(ACME, made.id)
    with pytest.raises(NotFound):
        voices.get(ACME, made.id)
    with pytest.raises(NotFound):
        voices.delete(ACME, made.id)


def test_the_samples_themselves_are_not_kept() -> None:
    world = World()
    Voices(world.table).make(ACME, "Anna", CHATTY)
    assert "keys" not in str(world.dynamo.items) and "Friday" not in str(world.dynamo.items)


def test_a_tenant_has_so_many_voices_and_no_more() -> None:
    world = World()
    voices = Voices(world.table)
    first = voices.make(ACME, "Anna", CHATTY)
    for n in range(MAX_VOICES - 1):
        voice = replace(first, id=f"vc{n}")
        item = vars(voice) | {"profile": vars(voice.profile), "pk": ACME.id + f"#voice#{voice.id}", "sk": "body"}
        world.table.put(item | {"list_pk": ACME.id + "#voice", "list_sk": voice.id})

    with pytest.raises(TooLarge, match="100 voices"):
        voices.make(ACME, "Berta", CHATTY)


@pytest.mark.parametrize("name", ["", "  ", "\ud800"])
def test_a_voice_has_a_name(name: str) -> None:
    with pytest.raises(InvalidInput):
        Voices(World().table).make(ACME, name, CHATTY)
