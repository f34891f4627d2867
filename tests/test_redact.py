"""No password of a study's database in what is left on disk."""

from omegaconf import OmegaConf

from sweep.engine.redact import redact

SECRET, SHOWN = "postgresql://me:hunter2@host/x", "postgresql://me@host/x"


def test_a_url_is_replaced_wherever_it_is() -> None:
    config = OmegaConf.create(
        {"a": {"url": SECRET, "same": "${a.url}"}, "lines": [f"storage={SECRET}", 3], "n": 1, "m": "???", "z": None}
    )
    OmegaConf.set_readonly(config, True)
    OmegaConf.set_struct(config, True)
    redact(config, SECRET, SHOWN)
    assert "hunter2" not in OmegaConf.to_yaml(config)
    assert config.lines == [f"storage={SHOWN}", 3]
    assert config.a.same == SHOWN
    assert (config.n, config.z) == (1, None)
