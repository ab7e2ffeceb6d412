"""The conformance suite as a tool: it grades soundly, drives services, and reports in every form."""

import io
import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from xml.etree import ElementTree as ET

import pytest

from sealwright_validate import Expect, Trust, Validator
from sealwright_validate.__main__ import main
from sealwright_validate.conformance.case import Case, Collector, Force
from sealwright_validate.conformance.grade import Column, Grade, Table, grade
from sealwright_validate.conformance.render.html import as_html
from sealwright_validate.conformance.render.machine import as_json, as_junit
from sealwright_validate.conformance.render.terminal import draw, show
from sealwright_validate.conformance.render.text import as_markdown, as_text, not_right
from sealwright_validate.conformance.run import Options, run
from sealwright_validate.conformance.targets.libraries import LIBRARIES
from sealwright_validate.conformance.targets.model import Said, TargetAbsentError, Verdict
from sealwright_validate.middleware.wsgi import SealwrightWsgiMiddleware

pytestmark = pytest.mark.enable_socket
REPOSITORY = Path(__file__).resolve().parents[3]
ADAPTERS = Path(__file__).resolve().parents[1] / "adapters"
STORM = {"key_of_other_realm", "key_of_other_realm_rsa", "key_outside_window"}


@pytest.fixture(scope="module")
def table() -> Table:
    import pytest_socket

    pytest_socket.enable_socket()
    options = Options(node_folder=ADAPTERS, java_folder=ADAPTERS / "spring" / "target" / "jars")
    return run(["ours", "ours-plain", *LIBRARIES, "jose", "spring"], options)


def column(table: Table, name: str) -> Column:
    for found in table.columns:
        if found.name == name:
            return found
    pytest.skip(f"TARGET ABSENT: {name}: {table.absent}")


def wrong(table: Table, name: str) -> set[str]:
    return {case for case, found in column(table, name).grades.items() if found is Grade.WRONG}


def test_there_are_a_few_hundred_named_tokens(table: Table) -> None:
    assert len(table.cases) > 300
    assert all(case.how and case.why for case in table.cases)


def test_ours_decides_every_case_as_named(table: Table) -> None:
    ours = column(table, "sealwright-validate")
    assert set(ours.grades.values()) == {Grade.RIGHT}


def test_ours_with_a_plain_key_set_is_never_wrong(table: Table) -> None:
    assert wrong(table, "sealwright-validate, plain") == set()


@pytest.mark.parametrize(
    "name", ["PyJWT", "joserfc", "Authlib", "python-jose", "jwcrypto", "jose (node)", "Spring Security"]
)
def test_libraries_accept_good_tokens_and_fall_for_storm_0558(table: Table, name: str) -> None:
    found = column(table, name)
    assert {case.name for case in table.cases if case.force is Force.MUST and case.accept} <= {
        case for case, said in found.said.items() if said.verdict is Verdict.ACCEPTED
    }
    assert wrong(table, name) >= STORM


def test_a_second_implementation_agrees_on_the_vectors_but_for_what_is_written_down() -> None:
    program = REPOSITORY / "vectors" / "second_opinion.py"
    if not program.is_file():
        pytest.skip(f"VECTORS ABSENT: {program} is not beside this installation")
    try:
        opinion = runpy.run_path(str(program))["second_opinion"]()
    except TargetAbsentError as absent:
        pytest.skip(f"JOSE ABSENT: {absent}")
    written = json.loads((REPOSITORY / "vectors" / "second_opinion.json").read_text())
    assert set(opinion["decides_otherwise"]["must"]) == STORM
    if opinion["version"] == written["version"]:
        assert opinion == written


def case(*, accept: bool, force: Force) -> Case:
    return Case("name", "group", "how", "token", accept, frozenset(), force, "why")


@pytest.mark.parametrize(
    ("accept", "force", "verdict", "knows", "expected"),
    [
        (False, Force.MUST, Verdict.REFUSED, False, Grade.RIGHT),
        (False, Force.MUST, Verdict.ACCEPTED, False, Grade.WRONG),
        (False, Force.MUST, Verdict.CRASHED, False, Grade.WEAK),
        (False, Force.MUST, Verdict.NOT_SENT, False, Grade.NOT_APPLICABLE),
        (False, Force.SHOULD, Verdict.ACCEPTED, False, Grade.WEAK),
        (False, Force.MANIFEST, Verdict.ACCEPTED, False, Grade.NOT_APPLICABLE),
        (False, Force.MANIFEST, Verdict.ACCEPTED, True, Grade.WRONG),
        (True, Force.MUST, Verdict.ACCEPTED, False, Grade.RIGHT),
        (True, Force.MUST, Verdict.REFUSED, False, Grade.WRONG),
        (True, Force.MUST, Verdict.CRASHED, False, Grade.WRONG),
        (True, Force.SHOULD, Verdict.REFUSED, False, Grade.WEAK),
    ],
)
def test_grades(accept: bool, force: Force, verdict: Verdict, knows: bool, expected: Grade) -> None:
    assert grade(case(accept=accept, force=force), Said(verdict), knows_manifest=knows) is expected


def test_a_name_is_given_once() -> None:
    found = Collector("group", "why")
    found.good("same", "how", "token")
    with pytest.raises(ValueError, match="same"):
        found.bad("same", "how", "token")


def test_the_outcome_is_told_in_every_form_without_a_token(table: Table) -> None:
    told = {render: render(table) for render in (as_text, as_markdown, as_html, as_junit, as_json)}
    signatures = [one.token.rpartition(".")[2] for one in table.cases if one.accept]
    for text in told.values():
        assert not any(signature in text for signature in signatures)
    suites = ET.fromstring(told[as_junit]).findall("testsuite")  # noqa: S314 - of our own making
    assert [suite.get("name") for suite in suites] == [found.title for found in table.columns]
    assert suites[0].get("failures") == "0"
    assert len(suites[0].findall("testcase")) == len(table.cases)
    as_object = json.loads(told[as_json])
    assert as_object["targets"][0]["counts"]["right"] == len(table.cases)
    assert told[as_html].count("<rect ") == len(table.cases) * len(table.columns)
    assert "<script" not in told[as_html]
    assert "http" not in told[as_html].partition("<table>")[0]


def test_on_a_terminal_each_relying_party_gets_a_table_of_its_own(table: Table) -> None:
    rich = pytest.importorskip("rich.console", reason="RICH ABSENT: install sealwright-validate[conformance]")
    hostile = Column("[red]x[/red]", "", table.columns[0].said, table.columns[0].grades)
    out = io.StringIO()
    shown = Table(table.made_at, table.cases, [*table.columns, hostile], {"ghost": "not [bold]here"})
    draw(shown, rich.Console(file=out, force_terminal=True, color_system=None, width=160))
    for column in shown.columns:
        assert column.title in out.getvalue()
        wrong_ones = [case.name for case in not_right(shown, column, Grade.WRONG)]
        assert all(name in out.getvalue() for name in wrong_ones)
    assert out.getvalue().count("│ all ") == len(shown.columns)
    assert "absent: ghost: not [bold]here" in out.getvalue()


def test_what_is_no_terminal_gets_plain_text(table: Table) -> None:
    out = io.StringIO()
    show(table, out)
    assert out.getvalue() == as_text(table)


def test_hostile_texts_stay_texts_in_the_page(table: Table) -> None:
    hostile = Column("<b>x</b>", "", table.columns[0].said, table.columns[0].grades)
    page = as_html(Table(table.made_at, table.cases, [hostile]))
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


# a service behind HTTP


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def service(app: Any) -> tuple[WSGIServer, str]:
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/inbox"


def answer_ok(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


class Late:
    """A service that is configured once the suite's issuer is known."""

    def __init__(self) -> None:
        self.app: Any = answer_ok
        self.validator: Validator | None = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)

    def configure(self, setup: Any) -> None:
        self.validator = Validator(trust=Trust.oidc(setup.issuer))
        expect = Expect(audience=setup.audience)
        self.app = SealwrightWsgiMiddleware(answer_ok, validator=self.validator, expect=expect)


@pytest.fixture
def late() -> Iterator[Late]:
    made = Late()
    yield made
    if made.validator is not None:
        made.validator.close()


def test_a_service_is_driven_over_http(late: Late) -> None:
    server, url = service(late)
    outcome = run([url], Options(announce=late.configure))
    server.shutdown()
    server.server_close()
    (found,) = outcome.columns
    assert Grade.WRONG not in found.grades.values()
    assert list(found.said.values()).count(Said(Verdict.ACCEPTED, "200")) >= 14
    assert found.said["key_of_other_realm"].verdict is Verdict.REFUSED
    assert found.said["base64_line_feed_inside"].verdict is Verdict.NOT_SENT


def test_a_service_that_accepts_everything_is_found_out_and_one_that_accepts_nothing_is_absent(
    late: Late, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server, url = service(late)
    assert main(["conformance", "--target", url, "--root-out", str(tmp_path / "root.json")]) == 1
    assert "key_of_other_realm" in capsys.readouterr().out
    assert (tmp_path / "root.json").is_file()
    late.app = lambda _, start: (start("503 Down", [("Content-Length", "0")]), [])[1]
    assert main(["conformance", "--target", url, "--ready", "0"]) == 3
    assert "does not accept a good token: 503" in capsys.readouterr().out
    server.shutdown()
    server.server_close()


def test_the_command_writes_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / name for name in ("html", "junit", "json", "markdown")}
    options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    assert main(["conformance", *options]) == 0
    assert all(path.stat().st_size > 1000 for path in files.values())
    assert "sealwright-validate" in capsys.readouterr().out
