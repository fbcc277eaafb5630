"""The contacts enricher: what it finds in texts as people write them, and what it ignores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.item import WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.contacts import Spec, build, files


def item(text: str = "", **payload: Any) -> WorkItem:
    return WorkItem("b-1", "b", payload, text)


def make_step(**options: Any) -> Step:
    return build(Spec.model_validate({"use": "contacts", **options}), Path())


US = make_step(region="US")


def find(text: str, step: Step = US) -> dict[str, list[str]]:
    (answer,) = step.call([item(text)])
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("Write to ann@example.com.", ["ann@example.com"]),
        ("Ann <Ann.Lee@EXAMPLE.Com>, please", ["Ann.Lee@example.com"]),
        ("('ann@example.com')", ["ann@example.com"]),
        ("mailto:ann@example.com?cc=bob@example.org", ["ann@example.com", "bob@example.org"]),
        ("ann+tag@mail.example.co.uk; bob@example.com", ["ann+tag@mail.example.co.uk", "bob@example.com"]),
        ("ann@example.com,ann@EXAMPLE.com", ["ann@example.com"]),
        ("ann@example.com.Thanks", ["ann@example.com"]),
        ("zoe\u0308@exa\u0308mple.de", ["zoë@exämple.de"]),
        ("ann@localhost, @example, a@b, ann@@example.com, ann @ example.com", []),
        ("at 5@3.99 each", []),
        ("", []),
    ],
)
def test_email_addresses_are_found_and_normalized(text: str, emails: list[str]) -> None:
    assert find(text)["emails"] == emails


@pytest.mark.parametrize(
    "text",
    [
        "https://user:secret@host.example.com/path?to=x",
        "postgresql://app:s3cret@db.example.com/x",
        "POSTGRESQL://APP:S3CRET@DB.EXAMPLE.COM/X",
        "jdbc:postgresql://app:s3cret@db.example.com:5432/x",
        "git+ssh://git@git.example.com/org/project.git",
        "mongodb+srv://app:s3cret@db.example.com/?w=majority",
        "redis://:s3cret@cache.example.com:6379/0",
        "//user:s3cret@cdn.example.com/lib.js",
        "postgres%3A%2F%2Fapp%3As3cret%40db.example.com%2Fx",
        r'{"dsn":"postgres:\/\/app:s3cret@db.example.com\/x"}',
        "postgres:&#47;&#47;app:s3cret&#64;db.example.com",
        "“postgres://app:s3cret@db.example.com”",
        "[postgres://app:s3cret@db.example.com]",
        "连接postgres://app:s3cret@db.example.com失败",
        "could not connect to postgres://app:s3cret@db.example.com: timeout",
        "postgres://app:p@ss/w#rd@db.example.com/x",
        "postgres://app:s3,cret;x@db.example.com/x",
        'postgres://app:s3"cret@db.example.com/x',
        "postgres://app:(s3)[cr]{et}@db.example.com/x",
        "postgres://app:“s3”cret@db.example.com/x",
        "postgres://ann@corp:s3cret@db.example.com/x",
        "app:s3cret@db.example.com:5432/x",
        "app/s3cret@db.example.com:1521/x",
        "sqlplus app/s3cret@db.example.com",
        "sqlplus -S app/s3cret@db.example.com",
        "git@git.example.com:org/project.git",
        "ssh ann@host.example.com:22",
        "_postgres://app:s3cret@db.example.com_",
        "DB1_postgres://app:s3cret@db.example.com",
        "://app:s3cret@db.example.com",
        "http:/app:s3cret@db.example.com",
        "http//app:s3cret@db.example.com",
        "http:///app:s3cret@db.example.com",
        "http:∕∕app:s3cret@db.example.com",
        r"postgres:\\app:s3cret@db.example.com",
    ],
)
def test_what_precedes_the_host_of_a_place_to_connect_to_is_not_an_email_address(text: str) -> None:
    assert find(text) == {"emails": [], "phones": [], "domains": ["example.com"]}


@pytest.mark.parametrize(
    "text",
    [
        "postgres://app:s3cret@localhost/x",
        "postgres://app:12/34@db.example.com/x",
        "http://localhost:8080/users/ann@example.com",
        "password=p@ss.com",
        '{"db_password": "p@ss.com"}',
        "Server=db;Uid=app;Pwd=p@ss.com;",
        "<password>p@ss.com</password>",
        "mysql --password p@ss.com",
        "curl -u app:p@ss.com",
        "пароль: p@ss.com",
        "My password is p@ss.com",
        "Password:\np@ss.com",
        "password\tp@ss.com",
        "**Password:** p@ss.com",
        'password => "p@ss.com"',
        "Password → p@ss.com",
        '<add key="Password" value="p@ss.com"/>',
        "login: ann / pw: p@ss.com",
        "Mdp : p@ss.com",
        "PIN: p@ss.com",
        "Kennwort: p@ss.com",
        "contrasena: p@ss.com",
        "şifreniz: p@ss.com",
        "密码是p@ss.com",
        "Password: a'p@ss.com",
        'Password: a"p@ss.com',
        "Password: a&p@ss.com",
        "Password: a;p@ss.com",
        "Password: a<p@ss.com",
        "Password: <p@ss.com>",
        "Password – p@ss.com",
        r'{"password":"a\"p@ss.com"}',
        "<td>Password:</td><td>p@ss.com</td>",
        "passwords = ['p@ss.com']",
        '{"passwords": ["p@ss.com"]}',
    ],
)
def test_a_password_is_never_returned(text: str) -> None:
    assert find(text) == {"emails": [], "phones": [], "domains": []}


@pytest.mark.parametrize(
    "text",
    [
        "password=x&to=ann@example.com",
        "Pwd=x;Mail=ann@example.com",
        '{"password":"x","to":"ann@example.com"}',
        '{"token":null,"to":"ann@example.com"}',
        "<password>x</password><to>ann@example.com</to>",
        "<td>Password: x</td><td>ann@example.com</td>",
        "Password: x ann@example.com",
        "Passwort vergessen? ann@example.com",
    ],
)
def test_text_after_a_password_is_read(text: str) -> None:
    assert find(text)["emails"] == ["ann@example.com"]


def test_text_after_a_url_with_a_password_is_read() -> None:
    found = find("https://a:b@x.example.com, ann@example.org, http://c:d@y.example.net")
    assert found["emails"] == ["ann@example.org"]
    assert found["domains"] == ["example.com", "example.org", "example.net"]


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        # As a whole …
        ("bounce+ann=example.org@lists.example.com", ["bounce+ann=example.org@lists.example.com"]),
        ("<bounce-ann=example.org@lists.example.com>", ["bounce-ann=example.org@lists.example.com"]),
        ("SRS0=HH=TT=example.org=ann@example.com", ["SRS0=HH=TT=example.org=ann@example.com"]),
        ("prvs=0123456789=ann@example.com", ["prvs=0123456789=ann@example.com"]),
        ("ann+tag=value@example.com", ["ann+tag=value@example.com"]),
        ("ann&bob@example.com", ["ann&bob@example.com"]),
        # … after a key …
        ("email=ann@example.com&to=bob.lee@example.com", ["ann@example.com", "bob.lee@example.com"]),
        ("reply-to=ann@example.com", ["ann@example.com"]),
        ("email=ann+tag=value@example.com", ["ann+tag=value@example.com"]),
        # … or not at all.
        ("ann=example.org@lists.example.com", []),
        ('"ann lee"@example.com', []),
        ("pa$$word@example.com", []),
        ("ann.李@example.com", []),
        ("\u0430nn@example.com", []),
        ("ann@ex\u0430mple.com", []),
        ("ann@example.com@example.org", []),
        ("@ann@social.example.com", []),
        ("ann@example.com.invalid", []),
        ("Message-ID: <123.abc@mail.example.com>", []),
        ("ann@-example.com", []),
    ],
)
def test_an_email_address_is_found_as_a_whole_or_not_at_all(text: str, emails: list[str]) -> None:
    assert find(text)["emails"] == emails


@pytest.mark.parametrize(
    "text",
    [
        "请发邮件到ann@example.com 谢谢",
        "请发邮件到ann@example.com谢谢",
        "メールはann@example.comまで",
        "이메일은ann@example.com입니다",
        "ส่งอีเมลมาที่ann@example.comนะคะ",
        "អ៊ីមែលann@example.com",
        "وann@example.com",
        "לann@example.com",
    ],
)
def test_a_word_in_a_script_written_onto_others_is_not_part_of_an_address(text: str) -> None:
    assert find(text) == {"emails": ["ann@example.com"], "phones": [], "domains": ["example.com"]}


@pytest.mark.parametrize(
    ("text", "emails", "domains"),
    [
        ("用户@例子.com", ["用户@例子.com"], ["xn--fsqu00a.com"]),
        ("邮箱123456@example.com", ["123456@example.com"], ["example.com"]),
        ("example.com和example.org", [], ["example.com", "example.org"]),
        ("https://日本abc.jp/x", [], ["xn--abc-s08fl0d.jp"]),
        ("https://example.com谢谢。再见", [], ["example.com"]),
    ],
)
def test_names_in_scripts_without_spaces_are_found(text: str, emails: list[str], domains: list[str]) -> None:
    found = find(text)
    assert (found["emails"], found["domains"]) == (emails, domains)


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"x\nann@example.com\r\n"}',
        r"\u003cann@example.com\u003e",
        r"ann\u0040example.com",
        "&lt;ann@example.com&gt;&nbsp;",
        "ann&#64;example&#x2e;com",
        "%20ann%40example.com%0D%0A",
        'href=3D"mailto:ann@example.com"',
        "email=3Dann@example.com",
        "=?utf-8?Q?ann=40example.com?=",
    ],
)
def test_an_address_is_found_among_written_out_escapes(text: str) -> None:
    assert find(text) == {"emails": ["ann@example.com"], "phones": [], "domains": ["example.com"]}


@pytest.mark.parametrize("char", "\u00ad\u200b\u200c\u200e\u2060\ufeff")
def test_invisible_characters_are_not_read(char: str) -> None:
    found = find(f"www.exam{char}ple.com {char}ann@exam{char}ple.org{char} 212-{char}555-0123")
    assert found == {
        "emails": ["ann@example.org"],
        "phones": ["+12125550123"],
        "domains": ["example.com", "example.org"],
    }


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Call (212) 555-1234 now", ["+12125551234"]),
        ("212.555.1234, 212-555-1235/212 555 1236", ["+12125551234", "+12125551235", "+12125551236"]),
        ("+1 212-555-1234 ext. 55", ["+12125551234"]),
        ("tel:+49 30 901820\n+44 20 7946 0958.", ["+4930901820", "+442079460958"]),
        ("212-555-1234\n(212) 555-1234", ["+12125551234"]),
        ("t: 212–555–1234", ["+12125551234"]),
        ("order 1234 call 212-555-1234", ["+12125551234"]),
        ("Fax your order to 212-555-1234", ["+12125551234"]),
        ("order, 212-555-1234", ["+12125551234"]),
        ("contact no 212-555-1234", ["+12125551234"]),
        ("phone=212-555-1234 cell #212-555-1235", ["+12125551234", "+12125551235"]),
        ("( 212 ) 555 - 1234", ["+12125551234"]),
        ("212-555-1234 10:30", ["+12125551234"]),
        ("01/15/2024 212-555-1234 01/16/2024", ["+12125551234"]),
        ("+1&nbsp;212&#160;555%201234", ["+12125551234"]),
    ],
)
def test_phone_numbers_are_found_as_e164(text: str, phones: list[str]) -> None:
    assert find(text)["phones"] == phones


@pytest.mark.parametrize(
    "text",
    [
        "order 2125551234",
        "Order no. 212-555-1234",
        "invoice number: 2125551234",
        "tracking #2125551234",
        "ORD-2125551234",
        "A2125551234",
        "2024-01-15 10 items",
        "2024-01-15 10:30:00",
        "15.01.2024 1234567",
        "192.168.100.200",
        "4111 1111 1111 1111",
        "12345",
        "https://shop.example.com/item/2125551234",
        "2125551234@example.com",
        "1234567890123456789012345",
        "Confirmation #: 212 555 1234",
        '{"invoiceNumber": "2125551234"}',
        "<b>Order no.</b> <i>2125551234</i>",
        "customer no. 2125551234",
        "EUR 212 555 1234",
        "212 555 1234 dollars",
        "2125551234 bytes",
        "212.555.123,45",
        "03/2015 – 03/2016",
        "2014-2015, 2015-2016",
        "01/02/2024 - 03/04/2024",
        "40.7127760 -74.0059740",
        "0.2125551234",
        "978-2-12-555123-4",
        "ISBN-10: 2125551234",
        "10.212.55.123:8080",
        "25-20 25-22 18-25",
        "120.0.6099.109",
        "RR 212 555 123 US",
        "March 2015 - 03/2016",
        "2125551234.56",
        "check number 2125551234",
    ],
)
def test_other_numbers_are_not_phone_numbers(text: str) -> None:
    assert find(text)["phones"] == []


SPACES = "\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


@pytest.mark.parametrize("space", SPACES)
def test_spaces_of_every_kind_separate_the_digits_of_a_phone_number(space: str) -> None:
    assert find("06 12 34 56 78".replace(" ", space), make_step(region="FR"))["phones"] == ["+33612345678"]
    assert find("+49 171 1234567".replace(" ", space))["phones"] == ["+491711234567"]


@pytest.mark.parametrize("sign", "-\u2010\u2011\u2012\u2013\u2014\u2212\uff0d/\u2044\u2215.\u00b7")
def test_hyphens_slashes_and_dots_of_every_kind_separate_the_digits_of_a_phone_number(sign: str) -> None:
    assert find(f"030{sign}1234567", make_step(region="DE"))["phones"] == ["+49301234567"]


@pytest.mark.parametrize(
    ("region", "text", "phone"),
    [
        ("DE", "(+49) 30 12345678", "+493012345678"),
        ("DE", "(+49)(0)30/12345678", "+493012345678"),
        ("DE", "+49 (0) 30 12345678", "+493012345678"),
        ("DE", "[+49] 30 12345678", "+493012345678"),
        ("DE", "Telefonnummer: 030 12345678", "+493012345678"),
        ("DE", "Bestellung unter 030 12345678", "+493012345678"),
        ("DE", "Kontakt 030 12345678", "+493012345678"),
        ("DE", "Auf jeden Fall 030 12345678 anrufen", "+493012345678"),
        ("FR", "01-02-03-04-05", "+33102030405"),
        ("CN", "手机号是13812345678，谢谢", "+8613812345678"),
        ("CN", "电话号码13812345678", "+8613812345678"),
        ("JP", "携帯は０９０−１２３４−５６７８です", "+819012345678"),
        ("KR", "전화번호는010-1234-5678입니다", "+821012345678"),
        ("TH", "โทร๐๘๑๒๓๔๕๖๗๘ค่ะ", "+66812345678"),
        ("SA", "الهاتف: ٠٥٠١٢٣٤٥٦٧", "+966501234567"),
        ("IR", "شماره تلفن ۰۹۱۲۱۲۳۴۵۶۷", "+989121234567"),
        ("IN", "फ़ोन नंबर ९८७६५ ४३२१०", "+919876543210"),
        ("IL", "להתקשר ל־050-234-5678", "+972502345678"),
        ("RU", "номер телефона 8 (916) 123-45-67", "+79161234567"),
        ("DK", "20.30.40.50", "+4520304050"),
        ("FR", "06.12.34.56.78", "+33612345678"),
    ],
)
def test_phone_numbers_are_found_as_they_are_written_elsewhere(region: str, text: str, phone: str) -> None:
    assert find(text, make_step(region=region))["phones"] == [phone]


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ("DE", "03.07 - 17.07.15"),
        ("DE", "08.30 - 12.00 und 13.00 - 17.30 Uhr"),
        ("DE", "Rechnungsnummer: 030 1234567"),
        ("DE", "Kd.-Nr. 030 1234567"),
        ("DE", "Losnummer 030 1234567"),
        ("DE", "Fall-Nr. 030 1234567"),
        ("DE", "RgNr 030 1234567"),
        ("DE", "Gutscheincode 0301234567"),
        ("DE", "Zählerstand 0301234567"),
        ("DE", "03./04.07.2015"),
        ("NL", "03-07 - 17-07-15"),
        ("FR", "référence client 0612345678"),
        ("FR", "commande n° 0612345678"),
        ("FR", "n° d’adhérent 0612345678"),
        ("ES", "número de pedido 612345678"),
        ("PT", "fatura n.º 912345678"),
        ("IT", "numero d’ordine: 312 345 6789"),
        ("NL", "klantnummer 0612345678"),
        ("PL", "zamówienie nr 512 345 678"),
        ("CZ", "číslo objednávky 601 123 456"),
        ("HU", "számlaszám 06 30 123 4567"),
        ("RO", "factura nr. 0712 345 678"),
        ("GR", "αριθμός παραγγελίας 6912345678"),
        ("SE", "ordernummer 070-174 06 05"),
        ("FI", "laskun numero: 040 1234567"),
        ("RU", "номер договора 8 495 123 45 67"),
        ("UA", "рахунок № 0501234567"),
        ("TR", "sipariş numarası 0532 123 45 67"),
        ("IL", "מספר הזמנה 0502345678"),
        ("SA", "رقم الطلب ٠٥٠١٢٣٤٥٦٧"),
        ("IR", "شماره سفارش: ۰۹۱۲۱۲۳۴۵۶۷"),
        ("IN", "ऑर्डर नंबर ९८७६५४३२१०"),
        ("VN", "mã đơn hàng 0912345678"),
        ("ID", "nomor pesanan 081234567890"),
        ("CN", "订单编号：13812345678"),
        ("JP", "注文番号は09012345678です"),
        ("KR", "주문번호 010-1234-5678"),
        ("TH", "คำสั่งซื้อ 081-234-5678"),
        ("JP", "0312345678円"),
        ("IR", "09121234567 ریال"),
        ("DK", "20.30.40.50/24"),
        ("IR", "۱۴۰۲/۰۵/۱۲ - ۱۴۰۲/۰۶/۱۲"),
    ],
)
def test_other_numbers_are_recognized_in_many_languages(region: str, text: str) -> None:
    assert find(text, make_step(region=region))["phones"] == []


@pytest.mark.parametrize("endings", [" / 79", "/79", " – 79", " - 79", " — 79", "—79", " / -79"])
def test_another_ending_of_a_number_is_another_number(endings: str) -> None:
    found = find("+49 30 12345678" + endings, make_step(region="DE"))
    assert found["phones"] == ["+493012345678", "+493012345679"]


def test_without_a_region_only_numbers_with_a_country_code_are_found() -> None:
    assert find("212-555-1234 or +1 212-555-1235", make_step())["phones"] == ["+12125551235"]


def test_a_region_determines_the_national_number_format() -> None:
    assert find("Tel. 030 901820", make_step(region="DE"))["phones"] == ["+4930901820"]


@pytest.mark.parametrize(("region", "suggestion"), [("us", "'US'"), ("Germany", "'DE'"), ("XX", "'US'")])
def test_an_unknown_region_is_rejected(region: str, suggestion: str) -> None:
    with pytest.raises(InvalidDefinition, match=f"region '{region}'.*{suggestion}"):
        make_step(region=region)


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("see https://www.shop.example.co.uk:8080/a?b=c.", ["example.co.uk"]),
        ("www.example.com, Example.org and ann@mail.example.net!", ["example.com", "example.org", "example.net"]),
        ("https://a.com,https://b.com", ["a.com", "b.com"]),
        ("_https://a.com_ https:\\\\b.com", ["a.com", "b.com"]),
        ("http://example.com http://www.example.com ann@example.com", ["example.com"]),
        ("ann@first.com then https://second.com then third.com", ["first.com", "second.com", "third.com"]),
        ("https://münchen.de and xn--mnchen-3ya.de", ["xn--mnchen-3ya.de"]),
        ("http://192.168.1.1/x http://localhost:80 http://[::1]/", []),
        ("README.md, main.py, src/main.rs, e.g. 1.2.3, foo.me(1)", []),
        ("lib.rs, script.pl, `libfoo.so`, LIB.RS:42, 文件是main.sh", []),
        (
            "www.lib.rs, https://script.pl, ann@libfoo.so, shop.com.pl",
            ["lib.rs", "script.pl", "libfoo.so", "shop.com.pl"],
        ),
        ("*.example.com, _dmarc.example.org, my_example.net", ["example.com", "example.org"]),
        ("example.com.Danke example.org.danke", ["example.com"]),
        ("www.readme.md https://main.py", ["readme.md", "main.py"]),
        ("That is the end.Next one", []),
        ("a.b.invalid, co.uk", []),
    ],
)
def test_domains_are_registered_ones_in_order_of_appearance(text: str, domains: list[str]) -> None:
    assert find(text)["domains"] == domains


@pytest.mark.parametrize("sign", "“”‘’„‟«»‹›\"'`´()[]{}<>「」『』【】《》（）。，、！？：；…‥—→|*^~§¶™&\\😀،؟।")
def test_a_host_ends_at_what_no_host_can_hold(sign: str) -> None:
    for text in (f"https://example.com{sign}", f"{sign}https://example.com{sign}x", f"www.example.com{sign}"):
        assert find(text)["domains"] == ["example.com"], text


def test_the_ending_of_a_file_is_a_domain_in_its_country() -> None:
    assert find("kupione na example.pl", make_step(region="PL"))["domains"] == ["example.pl"]
    assert find("kupione na example.pl i lib.rs")["domains"] == []


def test_everything_in_a_signature_is_found() -> None:
    text = "Best,\nAnn Lee <ann.lee@acme.co.uk> | +44 20 7946 0958 | www.acme.co.uk\nYour ref: 2079460959"
    assert find(text) == {
        "emails": ["ann.lee@acme.co.uk"],
        "phones": ["+442079460958"],
        "domains": ["acme.co.uk"],
    }


def test_text_beyond_the_limit_is_not_read() -> None:
    assert find("x" * 100 + " ann@example.com", make_step(max_characters=100))["emails"] == []


def test_an_item_without_the_field_fails_alone() -> None:
    answers = make_step(field="body").call([item("ann@example.com"), item(body="ann@example.com")])
    assert isinstance(answers[0], Permanent)
    assert answers[1]["emails"] == ["ann@example.com"]


def test_no_file_is_pinned() -> None:
    assert files(Spec(use="contacts")) == ()


@pytest.mark.parametrize(
    "junk", ["a@", "a.", "1 2-3.", "+1 ", "1", "http://", "a@b.c ", "212-555-1234 ", "(", "2024-01-15 ", "\u0301a-"]
)
def test_a_long_text_is_read_in_linear_time(junk: str) -> None:
    # Quadratic work would exceed the tests' time limit.
    found = find(junk * (200_000 // len(junk)) + " bob@example.com", make_step(region="US", max_characters=1_000_000))
    assert found["emails"][-1] == "bob@example.com"


@given(st.text(alphabet=st.sampled_from("a1é@.+-() /:#\u0301\ud800\x00_"), max_size=60))
def test_any_text_gets_an_answer(text: str) -> None:
    assert set(find(text)) == {"emails", "phones", "domains"}
