"""The list of rules: documented, and each shown to fire."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import fmas.validate
from fmas.validate import Rule


def cases() -> list[set[str]]:
    """Return the rules of every damage in the modules beside this one, as their decorators name them."""
    found = []
    for path in sorted(Path(__file__).parent.glob("test_validate_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in getattr(node, "decorator_list", []):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "case":
                    found.append({argument.value for argument in call.args})
    return found


# In test_validate_secrets.py, test_validate_output.py and test_controls.py.
ELSEWHERE = {"secret", "finished", "control"}


def test_every_rule_has_a_damage():
    assert len(cases()) > 130
    assert {rule for rules in cases() for rule in rules} | ELSEWHERE == {rule.value for rule in Rule}


def test_every_rule_can_be_shown_alone():
    """A rule that only ever fires beside another one may be fired by the other's mistake."""
    together = {"largest-change"}  # a change below 8 levels is below every high_threshold too
    alone = {next(iter(rules)) for rules in cases() if len(rules) == 1}
    assert {rule.value for rule in Rule} - alone == together | ELSEWHERE


def test_the_docstring_lists_every_rule():
    listed = re.findall(r"^\* ``([a-z0-9-]+)``: (.+?)\.$", unwrapped(fmas.validate.__doc__ or ""), re.MULTILINE)
    assert listed == [(rule.value, rule.description) for rule in Rule]


def unwrapped(text: str) -> str:
    return re.sub(r"\n  +", " ", text)
