"""Every formula by its name, the default first."""

from __future__ import annotations

from collections.abc import Mapping

from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.greenroad_like import greenroad_like
from scoring.core.formulas.motive_like import motive_like
from scoring.core.formulas.port import Formula
from scoring.core.formulas.samsara_like import samsara_like

OURS = RiskFormula()
FORMULAS: Mapping[str, Formula] = {
    "expected-risk": OURS,
    "samsara-like": samsara_like,
    "motive-like": motive_like,
    "greenroad-like": greenroad_like,
}
