"""Settings come from a file, the environment and flags, and an open farm is never started."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from farm.config import ConfigError, FarmConfig, load, start_problems
from farm.config.fields import FILE_NAME
from farm.fleet_ray.head import HeadError, up
from farm.fleet_ray.settings import HeadSettings
from node_agent.quality.signals import Thresholds

STRONG = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("HELIOSTAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_later_layer_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text('port = 1111\ncpu_cards = 1\ns3_bucket = "file"\n')
    monkeypatch.setenv("HELIOSTAT_CPU_CARDS", "2")
    monkeypatch.setenv("HELIOSTAT_S3_BUCKET", "environment")
    found = load(file, {"s3_bucket": "flag", "host": None})
    assert (found.port, found.cpu_cards, found.s3_bucket, found.host) == (
        1111,
        2,
        "flag",
        "127.0.0.1",
    )


def test_secrets_come_as_credentials_of_a_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handed = {"api_token": "handed", "ray_token": "handed", "host": "10.0.0.5"}
    for name, content in handed.items():
        (tmp_path / name).write_text(f"{content}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HELIOSTAT_RAY_TOKEN", "environment")
    file = tmp_path / "f.toml"
    file.write_text('api_token = "file"\n')
    found = load(file)
    assert found.api_token is not None
    assert found.ray_token is not None
    assert found.api_token.get_secret_value() == "handed"
    assert found.ray_token.get_secret_value() == "environment"
    assert found.host == "127.0.0.1", "what is no secret is no credential"


def test_the_file_is_the_data_directorys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".heliostat").mkdir()
    (tmp_path / ".heliostat" / "farm.toml").write_text("port = 2000\n")
    assert load().port == 2000
    assert load().data_dir == tmp_path / ".heliostat"
    other = tmp_path / "other"
    other.mkdir()
    assert load(flags={"data_dir": other}).port == 8460
    (other / "farm.toml").write_text("port = 3000\n")
    assert load(flags={"data_dir": other}).port == 3000
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(other))
    assert load().port == 3000
    named = tmp_path / "named.toml"
    named.write_text("port = 4000\n")
    monkeypatch.setenv("HELIOSTAT_CONFIG", str(named))
    assert load().port == 4000


def test_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = load(flags={"data_dir": Path("here"), "model": Path("~/model")})
    assert found.data_dir == tmp_path / "here"
    assert found.model == tmp_path / "model"


def test_directories_of_inputs_come_from_every_layer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load().inputs == ()
    file = tmp_path / "f.toml"
    file.write_text('inputs = ["/mnt/show", "~/in"]\n')
    assert load(file).inputs == (Path("/mnt/show"), tmp_path / "in")
    monkeypatch.setenv("HELIOSTAT_INPUTS", f"/a:{tmp_path}/x/../b")
    assert load(file).inputs == (Path("/a"), tmp_path / "b")
    assert load(file, {"inputs": [Path("/c")]}).inputs == (Path("/c"),)
    assert load(remembered={"inputs": ["/d"]}).inputs == (Path("/a"), tmp_path / "b")
    monkeypatch.delenv("HELIOSTAT_INPUTS")
    assert load(remembered={"inputs": ["/d"]}).inputs == (Path("/d"),)


def test_roots_come_from_a_table_or_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load().roots == {}
    file = tmp_path / "f.toml"
    file.write_text("[roots.show]\nlinux = \"/mnt/show\"\nwindows = 'P:\\show'\n")
    show = {"linux": "/mnt/show", "windows": "P:\\show"}
    assert load(file).roots == {"show": show}
    assert load(remembered={"roots": {"show": show}}).roots == {"show": show}
    monkeypatch.setenv("HELIOSTAT_ROOTS", '{"nas": {"macos": "/Volumes/nas"}}')
    assert load().roots == {"nas": {"macos": "/Volumes/nas"}}
    monkeypatch.delenv("HELIOSTAT_ROOTS")
    file.write_text('[roots.P]\nlinux = "/mnt/show"\n')
    with pytest.raises(ConfigError, match=r"f.toml: roots: .*'P' is no name of a root"):
        load(file)


def test_lanes_have_a_limit() -> None:
    with pytest.raises(ConfigError, match="--lanes"):
        load(flags={"lanes": 17})


def test_a_head_remembers_its_directories(tmp_path: Path) -> None:
    head = HeadSettings(
        data_dir=tmp_path,
        inputs=(Path("/mnt/show"), Path("/in")),
        roots={"show": {"linux": "/mnt/show"}, "nas": {"windows": "N:\\", "macos": "/nas"}},
        loras=Path("/loras"),
        lanes=4,
    )
    assert head.roots_here == {"show": "/mnt/show"}
    head.save()
    assert HeadSettings.load(tmp_path) == head


def test_a_desk_takes_files_from_anywhere_and_an_open_farm_from_where_it_is_told(
    tmp_path: Path,
) -> None:
    told = (Path("/in"),)
    for host, inputs, found in (
        ("127.0.0.1", (), None),
        ("127.0.0.1", told, ("/in",)),
        ("10.0.0.7", (), ()),
        ("10.0.0.7", told, ("/in",)),
    ):
        assert HeadSettings(data_dir=tmp_path, host=host, inputs=inputs).input_directories == found


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", STRONG)
    found = load()
    assert STRONG not in f"{found!r} {found}"
    assert found.api_token is not None
    assert found.api_token.get_secret_value() == STRONG


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("prot = 1\n", "there is no setting 'prot', did you mean port?"),
        ("[s3]\nbucket = 'x'\n", "there is no setting 's3', "),
        ("port = \n", "cannot be read (Invalid value (at line 1, column 8))"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "f.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems[0].startswith(f"{file}: {problem}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "f.toml")


def test_every_wrong_value_is_listed_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "f.toml"
    file.write_text("port = 80\n")
    monkeypatch.setenv("HELIOSTAT_RENDERER", "crayon")
    with pytest.raises(ConfigError) as caught:
        load(file, {"cpu_cards": -1})
    places = {problem.split(": Input")[0] for problem in caught.value.problems}
    assert places == {f"{file}: port", "HELIOSTAT_RENDERER", "--cpu-cards"}


class TestStart:
    def test_on_loopback_a_test_card_needs_nothing(self) -> None:
        for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
            assert start_problems(FarmConfig(host=host, renderer="testcard")) == []

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "farm.example"])
    def test_off_loopback_everything_that_lacks_is_listed(self, host: str) -> None:
        why = f"is needed off loopback (host is {host}): set"
        assert start_problems(FarmConfig(host=host, renderer="testcard")) == [
            f"an API token {why} HELIOSTAT_API_TOKEN or api_token in farm.toml",
            f"a Ray token {why} HELIOSTAT_RAY_TOKEN or ray_token in farm.toml",
            (
                f"an S3 endpoint {why} --s3-endpoint, HELIOSTAT_S3_ENDPOINT or s3_endpoint "
                "in farm.toml"
            ),
        ]

    def test_off_loopback_with_all_of_it(self) -> None:
        found = FarmConfig(
            host="10.0.0.7",
            renderer="testcard",
            api_token=STRONG,
            ray_token=STRONG,
            s3_endpoint="https://s3.example",
            s3_access_key="key",
            s3_secret_key="secret",
        )
        assert start_problems(found) == []

    def test_failpoints_are_for_loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HELIOSTAT_FAILPOINTS", "/anywhere")
        assert start_problems(FarmConfig(renderer="testcard")) == []
        problems = start_problems(FarmConfig(host="10.0.0.7", renderer="testcard"))
        assert "HELIOSTAT_FAILPOINTS is set, which is for tests on loopback: unset it" in problems

    def test_an_object_store_elsewhere_needs_its_keys(self) -> None:
        found = FarmConfig(renderer="testcard", s3_endpoint="https://s3.example")
        assert [problem.split(": set ")[1] for problem in start_problems(found)] == [
            "HELIOSTAT_S3_ACCESS_KEY or s3_access_key in farm.toml",
            "HELIOSTAT_S3_SECRET_KEY or s3_secret_key in farm.toml",
        ]

    @pytest.mark.parametrize("token", ["short", "ä" * 20])
    def test_a_weak_token_is_refused(self, token: str) -> None:
        (problem,) = start_problems(FarmConfig(renderer="testcard", api_token=token))
        assert problem.startswith("api_token is too weak")

    def test_helios_needs_a_model(self) -> None:
        (problem,) = start_problems(FarmConfig())
        assert problem == (
            "the renderer helios needs a model: set --model, HELIOSTAT_MODEL or model in "
            "farm.toml, or use the renderer testcard"
        )


def test_what_marks_a_take_is_the_same_by_default_at_farm_head_and_card(tmp_path: Path) -> None:
    given = {
        name: field.default
        for name, field in FarmConfig.model_fields.items()
        if name.startswith("mark_")
    }
    head = HeadSettings(data_dir=tmp_path)
    assert {name: getattr(head, name) for name in given} == given
    assert Thresholds(**head.thresholds) == Thresholds()
    assert Thresholds(**replace(head, mark_drift=0.3).thresholds) == Thresholds(drift=0.3)


def test_every_setting_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    for name, field in FarmConfig.model_fields.items():
        default = field.default
        shown = "" if default in (None, "", (), {}) else f"`{default}`".replace("False", "false")
        assert f"| `{name}` | {shown} |" in text, name
        assert field.description in text, name
    assert FILE_NAME in text


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("redis://:secret@host:6379", "HELIOSTAT_REDIS_PASSWORD"),
        ("host", "HOST:PORT"),
        (":6379", "HOST:PORT"),
    ],
)
def test_redis_is_named_by_an_address_alone(address: str, told: str):
    with pytest.raises(ConfigError, match=told) as caught:
        load(flags={"redis": address})
    assert "secret" not in str(caught.value)
    assert load(flags={"redis": "rediss://[::1]:6379"}).redis == "rediss://[::1]:6379"


def test_a_redis_that_does_not_answer_is_named_before_anything_starts(tmp_path: Path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        settings = HeadSettings(data_dir=tmp_path, renderer="testcard", redis=address)
        with pytest.raises(HeadError, match=f"no Redis answers at {address}"):
            up(settings)
    assert not settings.state_path.exists()
