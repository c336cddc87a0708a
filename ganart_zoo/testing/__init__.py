"""The conformance kit: what every model of a kind must do, as checks that a plugin's own tests run.

    from ganart_zoo.testing import Subject, checks_for

    SUBJECT = Subject(Zoo(plugins=[ganart_mine]), "ganart-mine/blur", options={"steps": 3})

    @pytest.mark.parametrize("check", checks_for(SUBJECT), ids=lambda check: check.__name__)
    def test_conformance(check):
        check(SUBJECT)

Each check is a function of a `Subject` that raises `AssertionError` with one line of what was expected. Nothing here
needs pytest.
"""

from ganart_zoo.testing.conformance import checks_for
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["Check", "Subject", "checks_for"]
