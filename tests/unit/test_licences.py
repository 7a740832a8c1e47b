"""The licence gate reads what metadata says, and refuses what it does not know."""

from email.message import Message

import pytest
from tools.licences import allowed, licence_of, report


class Installed:
    """A distribution with the given metadata."""

    def __init__(self, *headers):
        self.metadata = Message()
        for name, value in headers:
            self.metadata[name] = value


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("", False),
    ],
)
def test_an_expression_is_allowed_when_all_its_parts_can_be_satisfied(expression, verdict):
    assert allowed(expression) is verdict


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ([("License-Expression", "MIT"), ("License", "GPL")], "MIT"),
        ([("License", "Apache 2.0")], "Apache-2.0"),
        (
            [
                ("License", "Permission is hereby granted, free of charge ..."),
                ("Classifier", "License :: OSI Approved :: MIT License"),
            ],
            "MIT",
        ),
        ([], ""),
    ],
)
def test_a_licence_is_read_from_expression_text_or_classifiers(headers, licence):
    assert licence_of(Installed(*headers)) == licence


def test_unknown_licences_are_refused_by_name(capsys):
    rows = [("good", "MIT"), ("nvidia-cublas", "NVIDIA"), ("copyleft", "AGPL-3.0"), ("silent", "")]
    assert report(rows, every=False) == ["copyleft", "silent"]
    assert "(none named)" in capsys.readouterr().out
