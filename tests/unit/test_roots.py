"""One place of shared storage, as every operating system spells it."""

from __future__ import annotations

import pytest

from farm.domain.roots import Root, is_place, place_below, rooted, roots_of, system_of
from farm.domain.rows import Limits
from farm.domain.values import BadValue
from tests.unit.test_modes import problem, spec_of

SHOW = Root(name="show", linux="/mnt/show", windows="P:\\show", macos="/Volumes/show")
NAS = Root(name="nas", windows="\\\\server\\films", linux="/mnt/nas/")
PLATES = Root(name="plates", linux="/mnt/show/plates")
ROOTS = (SHOW, NAS)
LIMITS = Limits(roots=ROOTS, inputs=())


class TestSpellings:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("/mnt/show/plates/sh010.png", "show:/plates/sh010.png"),
            ("//mnt//show/./plates/a/../sh010.png", "show:/plates/sh010.png"),
            ("/Volumes/show/plates/Sh 010.png", "show:/plates/Sh 010.png"),
            ("P:\\show\\plates\\sh010.png", "show:/plates/sh010.png"),
            ("p:/SHOW/plates/Sh010.PNG", "show:/plates/Sh010.PNG"),
            ("\\\\Server\\films\\a\\b.mov", "nas:/a/b.mov"),
            ("//server/films/b.mov", "nas:/b.mov"),
            ("/mnt/nas/b.mov", "nas:/b.mov"),
        ],
    )
    def test_each_means_the_same_place(self, text: str, place: str) -> None:
        assert rooted(text, ROOTS) == place
        assert spec_of({"image": text}, limits=LIMITS).image == place

    @pytest.mark.parametrize(
        "text",
        [
            "/mnt/show",
            "/mnt/show/",
            "/mnt/showreel/a.png",
            "/mnt/show/../etc/shadow",
            "P:\\show\\..\\keys\\a.png",
            "P:show\\a.png",
            "Q:\\show\\a.png",
            "/MNT/show/a.png",
            "plates/a.png",
            "show:/a.png",
            "s3://heliostat/mnt/show/a.png",
            "",
        ],
    )
    def test_what_lies_below_none(self, text: str) -> None:
        assert rooted(text, ROOTS) is None

    def test_of_roots_within_each_other_the_innermost_counts(self) -> None:
        for roots in ((SHOW, PLATES), (PLATES, SHOW)):
            assert rooted("/mnt/show/plates/a.png", roots) == "plates:/a.png"
            assert rooted("/mnt/show/a.png", roots) == "show:/a.png"


class TestPlaces:
    def test_a_place_is_kept_in_order(self) -> None:
        assert place_below("Show://plates".replace("//", "/"), ROOTS) == "show:/plates"
        assert place_below("show:/./plates//é ü 🦊.png", ROOTS) == "show:/plates/é ü 🦊.png"
        assert spec_of({"video": "NAS:/a.mov"}, limits=LIMITS).video == "nas:/a.mov"

    @pytest.mark.parametrize(
        "text", ["P:/show/a.png", "s3://b/k", "https://a/b", "/a:b/c", "a.png"]
    )
    def test_what_is_none(self, text: str) -> None:
        assert not is_place(text)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("shwo:/a.png", 'the farm has no root "shwo", did you mean show? there is nas, show'),
            ("films:/a.png", 'the farm has no root "films", there is nas, show'),
            ("show:/a/../../etc/shadow", '"show:/a/../../etc/shadow" leads upwards, write it '),
            ("show:/..", '"show:/.." leads upwards, write it without ..'),
            ("show:/a\\..\\b.png", "holds a \\, write it with /: show:/FOLDER/FILE"),
            ("show:a.png", '"show:a.png" has no / after its root, write show:/FOLDER/FILE'),
            ("show:/", '"show:/" names no file, write show:/FOLDER/FILE'),
            ("show:/plates/", '"show:/plates/" names no file, write show:/FOLDER/FILE'),
            ("show:/a\x00.png", "holds U+0000, remove that character"),
            ("show:/a\nb", '"show:/a\\nb" holds a tab or line end, remove that character'),
            ("show://etc/shadow", '"show://etc/shadow": nodes fetch nothing from the web, '),
            (
                "C:\\Users\\me\\a.png",
                "is a path of Windows, below none of the farm's roots (P:\\show, ",
            ),
        ],
    )
    def test_what_cannot_be_one(self, text: str, line: str) -> None:
        assert line in problem({"image": text}, limits=LIMITS)

    def test_a_farm_without_roots_says_so(self) -> None:
        assert problem({"image": "show:/a.png"}) == (
            'image: the farm has no root "show", '
            "set `roots` in the farm's farm.toml, or give the file's own path"
        )


class TestSettings:
    def test_roots_as_settings_have_them(self) -> None:
        said = {"show": {"linux": "/mnt/show", "windows": "P:\\show", "macos": "/Volumes/show"}}
        assert roots_of(said) == (SHOW,)
        assert [system_of(p) for p in ("linux", "win32", "darwin")] == ["linux", "windows", "macos"]

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"P": {"linux": "/p"}}, "'P' is no name of a root"),
            ({"Show": {"linux": "/p"}}, "'Show' is no name of a root"),
            ({"show": {"bsd": "/p"}}, "show: 'bsd' is none of linux, windows, macos"),
            ({"show": {}}, "show has no directory"),
            ({"show": {"linux": "mnt"}}, "show: 'mnt' is no absolute path of linux"),
            ({"show": {"windows": "/mnt"}}, "show: '/mnt' is no absolute path of windows"),
            ({"show": {"windows": "P:show"}}, "show: 'P:show' is no absolute path of windows"),
        ],
    )
    def test_what_cannot_be_a_root(self, said: dict[str, dict[str, str]], why: str) -> None:
        with pytest.raises(ValueError, match=why.replace("(", "\\(")):
            roots_of(said)


def test_a_bad_place_is_a_bad_value() -> None:
    with pytest.raises(BadValue, match="no root"):
        place_below("/mnt/a", ROOTS)
