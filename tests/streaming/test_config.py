"""The configuration says exactly what is wrong with it, and prints itself back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import ConfigError
from streaming.cli import invoke
from streaming.config import PASSWORD_VARIABLE, Config, Key, keys, load_config, render, variable


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "swarmlight.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_file_and_variables_the_defaults_hold() -> None:
    config = load_config(None, {})
    assert config == Config()
    assert (config.target_fpr, config.target_fdr, config.prior, config.seed) == (0.01, 0.05, 0.01, 0)
    assert (config.allowed_lateness_s, config.duplicate_window_s) == (60, 3600)
    assert (config.tick_s, config.campaign_tick_s, config.idle_partition_s) == (60, 600, 60)
    assert config.alert_step_nats == 1.0
    assert config.kafka.topic_prefix == ""
    assert config.metrics.host == "127.0.0.1"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'target_fpr = 0.1\n[kafka]\nbootstrap_servers = "a:1"\ntopic_prefix = "x-"\n')
    config = load_config(path, {"SWARMLIGHT_KAFKA__BOOTSTRAP_SERVERS": "b:2,c:3", "SWARMLIGHT_TARGET_FPR": "0.2"})
    assert config.target_fpr == 0.2
    assert config.kafka.bootstrap_servers == "b:2,c:3"
    assert config.kafka.topic_prefix == "x-"
    assert config.given == {"target_fpr", "kafka.bootstrap_servers", "kafka.topic_prefix"}


def test_other_peoples_variables_are_not_ours() -> None:
    assert load_config(None, {"PATH": "/bin", "SWARMLIGHT_DATA": "x", "SWARMLIGHT_DEBUG": "1"}) == Config()


@pytest.mark.parametrize(
    ("text", "line", "meant"),
    [
        ("target_fpt = 0.1", 1, "target_fpr"),
        ("seed = 1\n\n[kafka]\ntopic_prefx = 'a'", 4, "[kafka] topic_prefix"),
        ("[kafka]\nseed = 1", 2, "seed"),
        ("seed = 1\n[metric]\nport = 1", 2, "port"),
        ("kafka.topics = 'a'", 1, "[kafka]"),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_one(
    tmp_path: Path, text: str, line: int, meant: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: unknown key")
    assert "did you mean" in message
    assert meant in message


def test_an_unknown_variable_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(
        ConfigError, match=r"SWARMLIGHT_KAFKA_TOPIC_PREFIX.*did you mean SWARMLIGHT_KAFKA__TOPIC_PREFIX"
    ):
        load_config(None, {"SWARMLIGHT_KAFKA_TOPIC_PREFIX": "a"})


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("target_fpr = 1.5", ":1", "target_fpr"),
        ("seed = 1\ntarget_fpr = 'x'", ":2", "number"),
        ("seed = true", ":1", "whole number"),
        ("seed = 1.5", ":1", "whole number"),
        ("seed = '1'", ":1", "whole number"),
        ("given = ['seed']", ":1", "unknown key"),
        ("_env_file = 'x'", ":1", "unknown key"),
        ("seed = 99999999999999999999999", ":1", "seed"),
        ("prior = nan", ":1", "prior"),
        ("idle_partition_s = inf", ":1", "finite"),
        ("[kafka]\n\nbootstrap_servers = 'nowhere'", ":3", "host:port"),
        ("[kafka]\nstandby = 'hot'", ":2", "standby"),
        ("[kafka]\nsecurity_protocol = 'SASL_SSL'", ":2", "sasl_mechanism"),
        ("[kafka]\nsasl_mechanism = 'PLAIN'", ":2", "no effect"),
        ("[metrics]\nport = 70000", ":2", "65535"),
        ("kafka = 3", ":1", "table"),
        ("seed = ", "", "not TOML"),
        ("[kafka]\nsasl_password = 'hunter2'", ":2", "sasl_password_file"),
    ],
)
def test_an_unusable_value_is_refused_with_its_place(tmp_path: Path, text: str, where: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert str(caught.value).startswith(f"{path}{where}:")
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_unusable_variable_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^SWARMLIGHT_TICK_S: tick_s = 'soon': it has to be a whole number"):
        load_config(None, {"SWARMLIGHT_TICK_S": "soon"})
    with pytest.raises(ConfigError, match=r"^SWARMLIGHT_TARGET_FPR: target_fpr = 7\.0"):
        load_config(None, {"SWARMLIGHT_TARGET_FPR": "7"})


@pytest.mark.parametrize("data", [b"seed = 1\n\xff = 2", b"x" * (2 << 20)])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"c\.toml"):
        load_config(path, {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})


def test_the_password_comes_from_a_file_or_a_variable_and_shows_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    sasl = (
        "[kafka]\nsecurity_protocol = 'SASL_SSL'\nsasl_mechanism = 'SCRAM-SHA-512'\nsasl_username = 'u'\n"
        f"sasl_password_file = '{secret}'\n"
    )
    from_file = load_config(write(tmp_path, sasl), {})
    from_variable = load_config(None, {PASSWORD_VARIABLE: "hunter2"})
    for config in (from_file, from_variable):
        password = config.kafka.password()
        assert password is not None
        assert password.get_secret_value() == "hunter2"
        assert "hunter2" not in repr(config) + render(config) + str(password)
    assert load_config(None, {}).kafka.password() is None


def test_a_password_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for path, problem in ((tmp_path / "none", "cannot be read"), (empty, "empty first line")):
        config = load_config(None, {"SWARMLIGHT_KAFKA__SASL_PASSWORD_FILE": str(path)})
        with pytest.raises(ConfigError, match=f"sasl_password_file.*{problem}"):
            config.kafka.password()
    assert load_config(None, {"SWARMLIGHT_KAFKA__SASL_PASSWORD_FILE": str(empty)}).given == {"kafka.sasl_password_file"}


def test_secrets_compare_without_showing() -> None:
    first, again, other = (load_config(None, {PASSWORD_VARIABLE: text}) for text in ("hunter2", "hunter2", "hunter3"))
    assert first == again
    assert first != other
    assert "hunter" not in repr(first) + str(first.kafka) + first.model_dump_json()


def test_config_prints_every_key_with_its_reason_and_loads_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clean_environ: None
) -> None:
    path = write(tmp_path, 'target_fpr = 0.02\n[kafka]\ntopic_prefix = "a."\n')
    assert invoke(["config", "--config", str(path)]) == 0
    printed = capsys.readouterr().out
    table = tomllib.loads(printed)
    assert len(list(keys())) > 30
    for key in keys():
        assert key.name in (table[key.section] if key.section else table)
        assert variable(key) in printed
    again = load_config(write(tmp_path, printed), {})
    assert (again.target_fpr, again.kafka.topic_prefix) == (0.02, "a.")
    assert again.given == {key.path for key in keys()}
    assert render(again) == printed


@given(st.sampled_from(list(keys())), st.one_of(st.text(max_size=8), st.integers().map(str), st.floats().map(str)))
@settings(max_examples=100, deadline=None)
def test_any_text_in_a_variable_is_taken_or_refused_in_one_line(key: Key, text: str) -> None:
    refused = ""
    try:
        load_config(None, {variable(key): text})
    except ConfigError as error:
        refused = str(error)
    assert "\n" not in refused
    assert not refused or key.path in refused
