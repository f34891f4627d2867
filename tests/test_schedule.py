import math

import pytest

from conf.schema import Decay, ScheduleConfig
from sweep.training.schedule import learning_rate

PEAK, STEPS = 0.1, 100

FALL = {  # from share of the way to share of the peak, with `final` left at the end
    Decay.constant: lambda _way, _final: 1.0,
    Decay.cosine: lambda way, final: final + (1 - final) * (1 + math.cos(math.pi * way)) / 2,
    Decay.linear: lambda way, final: final + (1 - final) * (1 - way),
    Decay.exponential: lambda way, final: final**way,
}


def rate(step: int, **settings) -> float:
    curve = learning_rate(PEAK, ScheduleConfig(**settings), STEPS)
    return curve if isinstance(curve, float) else float(curve(step))


@pytest.mark.parametrize("decay", Decay)
@pytest.mark.parametrize("step", [0, 10, 50, 99, 100])
@pytest.mark.parametrize("final", [0.01, 0.2])
def test_decays(decay: Decay, step: int, final: float) -> None:
    assert rate(step, decay=decay, final=final) == pytest.approx(PEAK * FALL[decay](step / STEPS, final), rel=1e-5)


@pytest.mark.parametrize("decay", Decay)
@pytest.mark.parametrize("step", [0, 10, 19, 20, 60, 100])
def test_warm_up_is_linear_and_the_decay_takes_the_rest(decay: Decay, step: int) -> None:
    expected = step / 20 if step < 20 else FALL[decay]((step - 20) / 80, 0.1)
    assert rate(step, decay=decay, warmup=0.2, final=0.1) == pytest.approx(PEAK * expected, rel=1e-5)


def test_cosine_and_linear_may_come_to_zero() -> None:
    for decay in (Decay.cosine, Decay.linear):
        assert rate(STEPS, decay=decay, final=0.0) == pytest.approx(0.0, abs=1e-9)


def test_every_decay_has_a_test() -> None:
    assert set(FALL) == set(Decay)
