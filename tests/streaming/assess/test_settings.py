"""Settings of `assess` come from the configuration."""

from __future__ import annotations

import pytest

from detector.errors import UsageError
from streaming.assess import AssessSettings
from streaming.config import Config


def test_settings_come_from_the_configuration() -> None:
    settings = AssessSettings.from_config(Config(prior=0.2, given=frozenset({"target_fpr"})), ["text", "graph"])
    assert (settings.prior, settings.explicit_fpr) == (0.2, True)
    assert settings.without == frozenset({"text", "graph"})
    with pytest.raises(UsageError, match="luck"):
        AssessSettings.from_config(Config(), ["luck"])
