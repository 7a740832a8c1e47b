"""The token limit holds, and the tokenizer is asked as seldom as can be."""

from __future__ import annotations

from farm.cli.output import problem_line
from farm.domain.rows import RowChecker


def words(texts):
    """A tokenizer of sorts: a token for each word, and one for the end."""
    return [len(text.split()) + 1 for text in texts]


def check(rows, count_tokens):
    checker = RowChecker(batch_name="b", columns=["prompt"], count_tokens=count_tokens)
    clips = checker.check(list(enumerate(rows, 2)))
    return checker, clips


class TestTokens:
    def test_the_tokenizer_is_asked_seldom(self) -> None:
        asked = []

        def count(texts):
            asked.extend(texts)
            return words(texts)

        rows = [{"prompt": f"{n} " + "word " * 300} for n in range(1000)]
        assert not check(rows, count)[0].problems
        assert len(asked) < 1100
        assert max(len(text.split()) for text in asked) == 1

    def test_sums_that_prove_right_decide_up_to_the_limit(self) -> None:
        asked = []

        def count(texts):
            asked.append(len(texts))
            return words(texts)

        rows = [{"prompt": "word " * 500}] * 500
        checker = RowChecker(batch_name="b", columns=["prompt"], count_tokens=count)
        for _ in range(5):
            assert len(checker.check(list(enumerate(rows, 2)))) == 500
        assert sum(asked) < 510

    def test_sums_that_prove_too_small_never_decide_near_the_limit(self) -> None:
        def count(texts):
            """In a text, twenty words have a token more than alone."""
            return [len(text.split()) * 21 // 20 for text in texts]

        fine, near, long = ("word " * n for n in (300, 480, 500))
        rows = [{"prompt": text} for text in (fine, near, long) for _ in range(300)]
        found, _ = check(rows, count)
        assert [problem.row for problem in found.problems] == list(range(602, 902))

    def test_words_that_never_come_back_are_not_learnt(self) -> None:
        asked = []

        def count(texts):
            asked.extend(texts)
            return words(texts)

        rows = [{"prompt": " ".join(f"{n}-{k}" for k in range(100))} for n in range(100)]
        assert not check(rows, count)[0].problems
        assert asked == [row["prompt"] for row in rows]

    def test_texts_without_spaces_are_counted_whole(self) -> None:
        rows = [{"prompt": "猫" * 500}, {"prompt": "猫" * 600}]
        checker, _ = check(rows, lambda texts: [len(text) + 1 for text in texts])
        assert [problem_line("f.csv", problem) for problem in checker.problems] == [
            (
                "f.csv:3:prompt: the prompt has 601 tokens and the model reads 512, "
                "shorten it by 89 tokens or more"
            )
        ]
