"""Envoy's x-forwarded-client-cert header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.security.forwarded import Element, elements, forwarded_name

ONE = (
    "By=spiffe://prod/ns/b/sa/gate;Hash=468ed33b;"
    'Subject="/C=US/CN=ignored";URI=spiffe://prod/ns/a/sa/search;DNS=a.example;DNS=b.example'
)
SEARCH = "spiffe://prod/ns/a/sa/search"


def test_an_element_as_envoy_writes_it() -> None:
    """By is the proxy itself, so it names nobody."""
    (element,) = elements(ONE)
    assert element == Element((SEARCH,), ("a.example", "b.example"), "/C=US/CN=ignored")
    assert element.name == SEARCH


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", []),
        ("URI=spiffe://a/b,URI=spiffe://c/d", ["spiffe://a/b", "spiffe://c/d"]),
        ("URI=spiffe://a/b , DNS=c.example", ["spiffe://a/b", "c.example"]),
        ('Hash=1;Subject="CN=search,OU=a\\,b";URI=', ["search"]),
        ('Subject="O=a\\,CN=boss"', [""]),
        ('Subject="CN=a,CN=b"', [""]),
        ('Subject="CN=one \\"two\\"";By=x', ['one "two"']),
        ('Cert="-----BEGIN%20CERTIFICATE-----%0A";Chain="a,b;c=d";DNS=x', ["x"]),
        ("uri=spiffe://a/b", ["spiffe://a/b"]),
        ("By=spiffe://a/b;Hash=1", [""]),
    ],
)
def test_values_may_be_quoted_and_elements_many(header: str, names: list[str]) -> None:
    """Separators within quotes separate nothing."""
    assert [element.name for element in elements(header)] == names


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        'Subject="CN=x',
        'Subject="CN=x"y;URI=spiffe://a/b',
        "URI=spiffe://a/b,",
        "URI=spiffe://a/b;",
        'URI=a"b',
        "URI=a\\b",
        ";",
        ",",
    ],
)
def test_another_text_is_refused(header: str) -> None:
    """Whole: half of it may be somebody else's."""
    with pytest.raises(ValueError, match="not an x-forwarded-client-cert"):
        elements(header)


def test_the_last_name_that_no_trusted_peer_has() -> None:
    """What stands before it, anybody may have written."""
    header = "URI=spiffe://boss,URI=spiffe://a/search,URI=spiffe://a/ingress"
    assert forwarded_name(header, ()) == "spiffe://a/ingress"
    assert forwarded_name(header, {"spiffe://a/ingress"}) == "spiffe://a/search"
    assert forwarded_name("URI=spiffe://a/ingress", {"spiffe://a/ingress"}) == "spiffe://a/ingress"
    assert forwarded_name("URI=spiffe://boss,Hash=1", ()) == ""


TEXT = st.text(st.sampled_from('a=;,"\\ /:'), max_size=30) | st.text(max_size=20)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(forged=TEXT, subject=st.text(st.characters(codec="utf-8"), max_size=20))
def test_nobody_names_himself_by_what_he_puts_in_front(forged: str, subject: str) -> None:
    """The proxy's own element counts, or the whole header is refused."""
    appended = f"Hash=1;Subject={quoted(subject)};URI=spiffe://a/true"
    for name in (forged, f'URI=spiffe://a/boss;X="{forged}', f"{forged};URI=spiffe://a/boss"):
        try:
            assert forwarded_name(f"{name},{appended}", ()) == "spiffe://a/true"
        except ValueError:
            continue
