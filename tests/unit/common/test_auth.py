import pytest

from services.common import auth
from services.common.errors import ConfigError, Refused

SECRET = "s" * 40


def test_a_token_names_tenant_role_and_subject() -> None:
    token = auth.issue(SECRET, tenant="demo", role="agent", subject="sara", ttl_s=60)
    assert auth.check(SECRET, token) == auth.Principal("demo", "agent", "sara")


def test_a_token_of_another_secret_is_refused() -> None:
    token = auth.issue("t" * 40, tenant="demo", role="agent", subject="sara", ttl_s=60)
    with pytest.raises(Refused) as refused:
        auth.check(SECRET, token)
    assert (refused.value.slug, refused.value.status) == ("token-invalid", 401)


def test_an_expired_token_says_so() -> None:
    token = auth.issue(SECRET, tenant="demo", role="agent", subject="sara", ttl_s=-1)
    with pytest.raises(Refused) as refused:
        auth.check(SECRET, token)
    assert refused.value.slug == "token-expired"


def test_an_unsigned_token_is_refused() -> None:
    import jwt

    token = jwt.encode(
        {"aud": "peyvand", "sub": "x", "tenant": "demo", "role": "admin", "exp": 9e9}, "", algorithm="none"
    )
    with pytest.raises(Refused):
        auth.check(SECRET, token)


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("30m", 1800), ("8h", 28800), ("7d", 604800)])
def test_lifetimes(text: str, seconds: int) -> None:
    assert auth.parse_ttl(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "1w"])
def test_a_wrong_lifetime_names_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a number and s, m, h or d"):
        auth.parse_ttl(text)


def test_a_tenant_that_cannot_be_a_subject_token_gets_no_bearer_token() -> None:
    with pytest.raises(ConfigError, match="tenant 'De mo'"):
        auth.issue(SECRET, tenant="De mo", role="agent", subject="x", ttl_s=1)


def test_the_command_prints_a_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", SECRET)
    assert auth.main(["token", "--tenant", "demo", "--role", "supervisor"]) == 0
    assert auth.check(SECRET, capsys.readouterr().out.strip()).role == "supervisor"
