"""What is said to whoever asks why, and how its sentences are put together."""

from __future__ import annotations

from dataclasses import dataclass

from farm.plan.words import duration


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to whoever asks."""

    answer: str
    """One sentence: what it does, or what it waits for."""
    because: tuple[str, ...] = ()
    """Further facts, the most important first."""
    remedies: tuple[str, ...] = ()
    """What a person could do; empty where nothing needs doing."""


def with_more(found: Answer, *because: str, remedy: str = "") -> Answer:
    """The answer with more reasons, and one more remedy; empty ones are left out."""
    more = tuple(sentence(text) for text in because if text)
    remedies = (*found.remedies, remedy) if remedy else found.remedies
    return Answer(found.answer, found.because + more, remedies)


def about(seconds: float | None, text: str) -> str:
    """`text` with the seconds in it as a duration; empty where they are unknown."""
    return "" if seconds is None else text.format(duration(seconds))


def end(text: str) -> str:
    """The end of a sentence, with its stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def sentence(text: str) -> str:
    """`text` as a sentence of its own."""
    return end(text[:1].upper() + text[1:])


def giving(text: str, reason: str) -> str:
    """`text` with its reason after a colon, where there is one."""
    return end(f"{text}: {reason}" if reason else text)
