"""What proxies write of their clients: believed of trusted peers, of nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.certificates import Authority, Files
from support.raw_upstream import RawUpstream, says
from support.secure import called, calling, client_context, posted, running

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.gateway import Gateway

ID = "spiffe://prod/ns/shop/sa/search"
PROXY = "spiffe://prod/ns/mesh/sa/ingress"
XFCC = f'By={PROXY};Hash=468ed33b;Subject="CN=x,O=y";URI={ID}'
# Only the one caller may do anything, so an answer means that this is who was seen.
ONLY: dict[str, Any] = {"methods": [], ID: {"methods": ["Chat"]}}
TRUSTED: dict[str, Any] = {"trusted_peers": ["127.0.0.0/8"]}


async def statuses(gateway: Gateway, header: str, name: str = "x-forwarded-client-cert") -> Any:
    """Over gRPC and over HTTP."""
    async with calling(gateway) as caller:
        caller.metadata = ((name, header),)
        code, _ = await called(caller)
    return code, (await posted(gateway, {name: header}))[0]


async def test_a_trusted_peers_header_names_the_caller() -> None:
    """The element that the trusted peer has appended, whatever stands in front of it."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, callers=TRUSTED | ONLY) as gateway,
    ):
        for header in (XFCC, f"URI=spiffe://prod/boss,{XFCC}"):
            assert await statuses(gateway, header) == ("OK", 200)
        for header in (f"{XFCC},URI=spiffe://prod/other", "Hash=1", ""):
            assert await statuses(gateway, header) == ("PERMISSION_DENIED", 403)


async def test_a_header_that_cannot_be_read_is_refused() -> None:
    """An open quote in front would make what the proxy appended a part of something else."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, callers=TRUSTED | ONLY) as gateway,
    ):
        header = f'URI={ID};X=",{XFCC}'
        assert await statuses(gateway, header) == ("UNAUTHENTICATED", 401)
        assert upstream.requests == []


@pytest.mark.parametrize("name", ["x-forwarded-client-cert", "x-headgate-caller"])
async def test_a_strangers_header_counts_for_nothing(name: str) -> None:
    """Anybody can write one."""
    header = XFCC if name == "x-forwarded-client-cert" else ID
    other: dict[str, Any] = {"trusted_peers": ["192.0.2.0/24"]}
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, callers=other | ONLY) as gateway,
    ):
        assert await statuses(gateway, header, name) == ("PERMISSION_DENIED", 403)
    required: dict[str, Any] = {"callers": other | ONLY, "auth": {"required": True}}
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, **required) as gateway,
    ):
        assert await statuses(gateway, header, name) == ("UNAUTHENTICATED", 401)


async def test_a_proxy_may_be_trusted_by_its_certificate(tmp_path: Path) -> None:
    """Any other certificate speaks for itself alone."""
    authority = Authority()
    files = Files(tmp_path, authority.server(), authority.pem)
    proxy, other = authority.sign(uris=(PROXY,)), authority.sign("other")
    callers = {"trusted_names": [PROXY]} | ONLY
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings(), callers=callers) as gateway,
    ):
        for own, status in ((proxy, 200), (other, 403)):
            tls = client_context(tmp_path, authority, own)
            header = {"x-forwarded-client-cert": f"{XFCC},URI={PROXY}"}
            assert (await posted(gateway, header, tls=tls))[0] == status
            async with calling(gateway, authority, own) as caller:
                caller.metadata = tuple(header.items())
                code = "OK" if status == 200 else "PERMISSION_DENIED"
                assert (await called(caller))[0] == code
