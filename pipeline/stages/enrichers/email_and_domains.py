"""Finds email addresses and domains in a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stages.enrichers.hosts import HOST, SPACED, UNSPACED, HostReader, blank_out
from pipeline.stages.enrichers.urls_in_text import UrlFinder

#: Top-level domains that are far more often endings of files; they count as domains only after `www.`, `//` or `@`, and
#: where they are the country of the numbers that are looked for.
FILE_ENDINGS = frozenset(
    "bz cab cc dot gd inc java la md mk ml mm mov nc pl pm ps pub py rs sh so tf zip".split()  # noqa: SIM905
)

# RFC 5322 allows more before the @, but people only use these; the rest is punctuation around an address.
_SIGNS = r"._%+'~=&-"
_EMAIL = rf"(?:((?:{SPACED}|[\pN{_SIGNS}])+)|([{UNSPACED}{_SIGNS}]+))@({HOST})"
_BARE_HOST = rf"(?:^|[^\pL\pN\pM._/\\@-]|[{UNSPACED}])(?:\*\.)?({HOST})"
# The value of a password may look like an address, and must not be given away.
_SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase|code|e)?|passwort|kennwort|pwd|\bpw|\bmdp|\bpin|secret|credentials?|token|"
    r"(?:api|access|secret|private|wifi)[_ -]?key|contrase[ñn]a|kata sandi|geslo|lozinka|парола|"
    r"clave|senha|parola?|şifre\pL{0,3}|wachtwoord|hasło|heslo|jelszó|lösenord|adgangskode|passord|salasana|пароль|κωδικός|סיסמה|"
    r"كلمة المرور|رمز عبور|पासवर्ड|mật khẩu|รหัสผ่าน|密码|密碼|口令|パスワード|비밀번호|암호)"
)
_QUOTED = r"""(?:"[^"]*"|'[^']*')[^\s,;&<>)\]}]*"""
_SECRETS = (
    # Other fields may follow at once: "password=x&to=y", "Pwd=x;Server=y", "<password>x</password>".
    rf"""(?i){_SECRET_NAME}s?["'*_]*(?:[ \t]*=+>?[ \t]*|>|["'] value[ ]*=[ ]*)({_QUOTED}|[^\s<>;&]+)""",
    rf"""(?i){_SECRET_NAME}s?["']\s*:[\s\[]*({_QUOTED})""",
    # The value is what follows up to a space or a closing tag.
    rf"""(?i)(?:{_SECRET_NAME}s?[*_]*(?:[ \t]*(?::+[=*_]*|-+>|[→⇒])(?:\s|</?[a-z]+>)*|\t|[ \t]+[-—][ \t]+|"""
    rf"""[ \t]+(?:is|was|ist|lautet|est|es|è|é)[ \t:]+|[ \t]*(?:是|为|為|は|는|은)[ \t:]*)|--{_SECRET_NAME}[ \t]+|"""
    rf"""(?:-u|--user)[ =]+[^\s:@]+:)"""
    rf"""({_QUOTED}|(?:[^\s<]|<[^/])+)""",
)

# "@ann@social.example" and "pa$$w@example.com" are no addresses, nor are parts of them.
_GLUED_BEFORE = r"(?:@|[\pL\pN][#$^{}]+)$"
# Identifiers of mails and their parts have the form of addresses.
_MESSAGE_ID = r"(?i)(?:\b(?:message-id|in-reply-to|references|content-id):\s*<?|\bcid:)$"
# "user@host:22", "git@host:org/project.git" and "user/password@host/name" are places to connect to.
_CONNECTION = r"@|:[1-9]\d{1,4}(?:\D|$)|:[~/]|:[\w.-]+/|:[\w.-]+\.git\b"
_PATH = r"/\w[^\s@]*(?:\s|$)"
_DATABASE_CLIENT = r"(?:\b(?:sqlplus|sqlcl|sqlldr|(?:exp|imp)(?:dp)?) +(?:-\S+ +)*[^\s/@]+/)$"
_USER_BEFORE = r"([\w.-]+)[:/]$"
_BEFORE_BYTES, _AFTER_BYTES = 24, 200

# An `=` in an address: sender addresses that hold the recipient's (VERP, SRS, BATV). Elsewhere, "email=" precedes it.
_REWRITTEN = ("srs0", "srs1", "prvs", "msprvs1", "btv1")


@dataclass(frozen=True, slots=True)
class FoundAddresses:
    """The addresses in a text, without duplicates, in order of appearance.

    Args:
        rest: the text with URLs, passwords and email addresses replaced by spaces.
    """

    emails: tuple[str, ...]
    domains: tuple[str, ...]
    rest: bytes


class AddressFinder:
    """Finds email addresses and domains offline.

    Args:
        region: two-letter region; its top-level domain counts even where it is an ending of files.

    Raises:
        ImportError: `re2`, `email_validator`, `idna` or `tldextract` is not installed.
    """

    def __init__(self, region: str | None = None) -> None:
        import re2
        from email_validator import EmailNotValidError, validate_email

        self._hosts = HostReader()
        self._urls = UrlFinder(self._hosts)
        self._email, self._bare_host = re2.compile(_EMAIL), re2.compile(_BARE_HOST)
        self._secrets = [re2.compile(secret) for secret in _SECRETS]
        self._no_address_before = re2.compile(rf"{_MESSAGE_ID}|{_GLUED_BEFORE}|{_DATABASE_CLIENT}")
        self._user_before = re2.compile(_USER_BEFORE)
        self._connection, self._path = re2.compile(_CONNECTION), re2.compile(_PATH)
        self._letter_before = re2.compile(rf"[\pL\pM\pN{_SIGNS}]$")
        self._validate, self._invalid = validate_email, EmailNotValidError
        self._file_endings = FILE_ENDINGS - {(region or "").lower()}

    def find(self, text: bytes) -> FoundAddresses:
        """Find the addresses in `text`, which is UTF-8, normalized and without escapes."""
        urls = list(self._urls.find(text))
        domains = {url.start: url.domain for url in urls}
        # A password in a URL or after its name would look like an email address.
        text = blank_out(text, [(url.start, url.end) for url in urls])
        for pattern in self._secrets:
            text = blank_out(text, [secret.span(1) for secret in pattern.finditer(text)])
        candidates: dict[tuple[str, str], None] = {}
        matches = list(self._email.finditer(text)) if b"@" in text else []
        for email in matches:
            local = (email[1] or email[2]).decode()
            host, domain = self._hosts.find_domain(email[3].decode())
            domains[email.start()] = domain
            end = email.start(3) + len(host.encode())
            before = text[max(email.start() - _BEFORE_BYTES, 0) : email.start()]
            is_whole = not (email[2] and self._letter_before.search(before)) and email[3][:1] not in (b"-", b"_")
            after = text[end : end + _AFTER_BYTES]
            if domain and is_whole and not self._is_place_to_connect(before, local, after):
                candidates[local, host] = None
        text = blank_out(text, [email.span() for email in matches])
        for bare in self._bare_host.finditer(text):
            is_call = text[bare.end() : bare.end() + 1] == b"("
            domains[bare.start(1)] = self._domain_of_bare_host(bare[1].decode(), is_call=is_call)
        in_order = (domains[position] for position in sorted(domains))
        emails = (self._check_email(local, host) for local, host in candidates)
        return FoundAddresses(_distinct(emails), _distinct(in_order), text)

    def _is_place_to_connect(self, before: bytes, local: str, after: bytes) -> bool:
        if self._no_address_before.search(before) or (after[:1] in (b"@", b":") and self._connection.match(after)):
            return True
        user = None if "=" in local or after[:1] != b"/" else self._user_before.search(before)
        return bool(user and not user[1].lower().endswith((b"mail", b"mailto", b"to")) and self._path.match(after))

    def _check_email(self, local: str, host: str) -> str | None:
        local = self._strip_key(local).lstrip(".'-~&%")
        if not local or self._hosts.mixes_scripts(local):
            return None
        try:
            checked = self._validate(f"{local}@{host}", check_deliverability=False)
        except self._invalid:
            return None
        return checked.normalized

    def _strip_key(self, local: str) -> str:
        """Return the local part without a key before it ("email=ann"), or nothing if it cannot be told from one."""
        parts = local.split("=")
        for position, part in enumerate(parts[:-1]):
            is_sender_of_list = "-" in part and position == len(parts) - 2 and self._is_domain(parts[-1])
            if "+" in part or part.lower() in _REWRITTEN or is_sender_of_list:
                return "=".join(parts[position:])
        return "" if len(parts) > 1 and self._is_domain(parts[-1]) else parts[-1]

    def _is_domain(self, word: str) -> bool:
        return "." in word and self._hosts.find_domain(word) == (word, word.lower())

    def _domain_of_bare_host(self, host: str, *, is_call: bool) -> str | None:
        host, domain = self._hosts.find_domain(host)
        suffix = host.rpartition(".")[2]
        # "the end.Next sentence"
        is_sentence = suffix[:1].isupper() and not suffix.isupper()
        # Below "com.pl" and the like there are no files.
        is_file = suffix.lower() in self._file_endings and domain is not None and domain.count(".") == 1
        is_code = (is_call or is_file) and not host.lower().startswith("www.")
        return None if is_sentence or is_code else domain


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
