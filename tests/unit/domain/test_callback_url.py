"""Which callback URLs are accepted, and how they are parsed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.callback_url import ForbiddenCallbackUrl, InvalidCallbackUrl, check_callback_url, parse_origin
from pipeline.errors import InvalidArgument, InvalidInput

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

AMBIGUOUS = [
    "",
    "example.com",
    "//127.0.0.1/",
    "http:/127.0.0.1/",
    "https:example.com",
    "https://",
    "https:///path",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "unix:/run/x.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "ftp://example.com/",
    "http://127.1",
    "http://0",
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7f.1",
    "http://0177.0.0.1",
    "http://017700000001",
    "http://127.0.0.1.1",
    "https://example.0x1",
    "https://1.2.3.04/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://ⓛocalhost/",
    "http://%31%32%37.0.0.1/",
    "ht\ttp://127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1:80 80/",
    " https://example.com/",
    "https://example.com/\n",
    "https://example.com/a b",
    "http://h:0/",
    "http://h:65536/",
    "http://h:-1/",
    "http://h:+80/",
    "http://h:8o/",
    "http://h:80:80/",
    "http://a%00b/",
    "http://[::1",
    "http://[::1]x/",
    "http://[::1]:x/",
    "http://[example.com]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%lo]/",
    "http://[v1.a]/",
    "https://exa mple.com/",
    "https://-example.com/",
    "https://example-.com/",
    "https://exam..ple.com/",
    "https://.example.com/",
    "https://example.com../",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 127 + "com/",
    "https://exa$mple.com/",
    "https://example.com/#fragment",
    "https://example.com/#",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1%2f@example.com/",
    "https://example.com/" + "a" * 2048,
]
PRIVATE = [
    "127.0.0.1",
    "127.0.0.1.",
    "0.0.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "10.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[::ffff:0:7f00:1]",
    "[::5efe:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[ff02::1]",
    "[100::1]",
    "[5f00::1]",
    "[3fff::1]",
    "[4000::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "foo.localhost",
]


@pytest.mark.parametrize("url", AMBIGUOUS)
def test_a_malformed_or_ambiguous_url_is_rejected(url: str) -> None:
    with pytest.raises(InvalidCallbackUrl, match="^callback_url "):
        check_callback_url(url, LOOPBACK)


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_rejecting_a_private_host_names_the_setting(scheme: str, host: str) -> None:
    with pytest.raises(ForbiddenCallbackUrl, match="PIPELINE_ALLOW_PRIVATE_CALLBACKS"):
        check_callback_url(f"{scheme}://{host}/hook")


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("127.0.0.2", "127.0.0.2/32"),
        ("[fd00::1]", "fd00::1/128"),
        ("localhost", "127.0.0.0/8,::1/128"),
    ],
)
def test_the_suggested_setting_allows_the_url(host: str, network: str) -> None:
    url = f"http://{host}/hook"
    with pytest.raises(ForbiddenCallbackUrl) as caught:
        check_callback_url(url)
    assert str(caught.value).endswith(f"PIPELINE_ALLOW_PRIVATE_CALLBACKS={network}")
    check_callback_url(url, [ip_network(each) for each in network.split(",")])


@pytest.mark.parametrize("host", ["93.184.215.14", "example.com"])
def test_no_setting_is_suggested_for_plain_http_to_a_public_host(host: str) -> None:
    with pytest.raises(ForbiddenCallbackUrl, match="use https$"):
        check_callback_url(f"http://{host}/hook")


@pytest.mark.parametrize(
    ("url", "normalized", "endpoint"),
    [
        ("https://example.com", "https://example.com/", "https://example.com:443"),
        ("HTTPS://Example.COM./Hook?A=b", "https://example.com/Hook?A=b", "https://example.com:443"),
        ("https://example.com:443/x", "https://example.com/x", "https://example.com:443"),
        ("https://example.com:/x", "https://example.com/x", "https://example.com:443"),
        ("https://example.com:8443/x", "https://example.com:8443/x", "https://example.com:8443"),
        ("https://example.com?a=1", "https://example.com/?a=1", "https://example.com:443"),
        ("https://xn--bcher-kva.example/%C3%BC", "https://xn--bcher-kva.example/%C3%BC", None),
        ("https://my_service.example/a@b;c", "https://my_service.example/a@b;c", None),
        ("https://1.1.1.1/", "https://1.1.1.1/", "https://1.1.1.1:443"),
        ("https://[2606:4700:4700:0::1111]/", "https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]:443"),
        ("https://[64:ff9b::808:808]:8443", "https://[64:ff9b::808:808]:8443/", "https://[64:ff9b::808:808]:8443"),
    ],
)
def test_a_public_url_is_accepted_and_normalized(url: str, normalized: str, endpoint: str | None) -> None:
    callback = check_callback_url(url)
    assert callback.url == normalized
    assert check_callback_url(normalized) == callback
    assert parse_origin(url) == callback.origin
    assert endpoint is None or callback.origin == endpoint


@pytest.mark.parametrize("url", ["http://example.com/", "http://1.1.1.1/"])
def test_plain_http_to_a_public_host_is_rejected(url: str) -> None:
    with pytest.raises(ForbiddenCallbackUrl, match="plain http"):
        check_callback_url(url)
    with pytest.raises(ForbiddenCallbackUrl, match="plain http"):
        check_callback_url("http://1.1.1.1/", LOOPBACK)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/", "http://[::1]:8000/", "http://localhost:8000/", "http://crm:8080/"]
)
def test_allowing_a_network_permits_http_to_its_addresses_and_to_host_names(url: str) -> None:
    assert check_callback_url(url, LOOPBACK).url == url


def test_an_address_outside_the_allowed_networks_is_rejected() -> None:
    with pytest.raises(ForbiddenCallbackUrl, match=r"private address 10\.0\.0\.1"):
        check_callback_url("http://10.0.0.1/", LOOPBACK)


@pytest.mark.parametrize("port", [1, 22, 25, 1023, 3306, 5432, 6379, 9200])
def test_a_port_of_another_service_is_rejected(port: int) -> None:
    with pytest.raises(ForbiddenCallbackUrl, match=f"port {port}"):
        check_callback_url(f"https://example.com:{port}/")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@example.com/?token=hunter2",
        "https://hunter2@127.0.0.1/",
        "https://example.com:22/?token=hunter2",
        "https://exam ple.com/?token=hunter2",
        "https://127.0.0.1/hunter2",
        "http://example.com/?hunter2",
    ],
)
def test_messages_never_show_user_names_paths_or_queries(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_callback_url(url, name="batch_callback_url")
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("batch_callback_url ")
    assert "{" not in str(caught.value)
    assert "hunter2" not in repr(check_callback_url("https://example.com/hunter2?hunter2"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.com/x", "cb 'ftp://example.com…' is not an absolute URL"),
        ("example.com", "cb 'example.com' is not an absolute URL"),
        ("https://a{0}b.example/x", "cb 'https://a{0}b.example…' contains '{'"),
        ("http://10.0.0.1:8080/x", "cb 'http://10.0.0.1:8080…' has the private address 10.0.0.1"),
    ],
)
def test_messages_name_the_field_and_the_host(url: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_callback_url(url, name="cb")
    assert str(caught.value).startswith(message)
    assert str(caught.value.with_names({"cb": "--cb"})).startswith(f"--{message}")


DEFAULT_PORTS = {"http": 80, "https": 443}
HOSTS = st.text("abz019.-_%@:[]\\/?#①。xX ", min_size=1, max_size=20)


@given(st.sampled_from(["http", "https", "HTTP"]), HOSTS, st.sampled_from(["", "/", "/a@b", "?q", "\\@h/"]))
def test_every_parser_reads_an_accepted_url_the_same_way(scheme: str, host: str, rest: str) -> None:
    try:
        callback = check_callback_url(f"{scheme}://{host}{rest}", LOOPBACK)
    except InvalidInput:
        return
    split, other = urlsplit(callback.url), urllib3.util.parse_url(callback.url)
    assert split.hostname == (other.host or "").strip("[]") == callback.host
    assert split.port == other.port
    assert callback.port == (split.port or DEFAULT_PORTS[split.scheme])
    last = callback.host.rpartition(".")[2]
    assert not last.isdigit() or ip_address(callback.host)
