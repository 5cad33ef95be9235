"""Signing in: with an OpenID Connect provider (st.login) or one password for a workshop; without either, loopback only.

What is set stands in Streamlit's secrets.toml, sections [auth] and [people]; docs/serving.md explains each line.
"""

import hashlib
import hmac
import time
from collections import deque
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.errors import UserMistake, wrong_fields
from core.people import NOBODY, OWNER, Person
from core.runs.requester import NAME_CHARACTERS, plain
from pages.parts.shell.escape import escape

PERSON = "signed_in"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
FORWARDED = {"x-forwarded-for", "x-real-ip", "forwarded"}  # headers that a proxy adds
SHORTEST_PASSWORD = 8
WRONG_A_MINUTE = 10  # passwords, of all visitors together
_admitted: set[str] = set()  # ids of the sessions that may upload


class People(BaseModel):
    """Section [people] of secrets.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    password: str = Field("", repr=False)  # of a workshop
    teacher_password: str = Field("", repr=False)
    allowed: tuple[str, ...] = ()  # e-mail addresses that may come in with a provider, * for any letters; (): all
    teachers: tuple[str, ...] = ()  # e-mail addresses
    open: bool = False  # everybody who reaches the address is the owner, also from elsewhere


class SignIn(BaseModel):
    """How people sign in to this server."""

    model_config = ConfigDict(frozen=True)

    method: str  # "provider", "password" or "none"
    people: People


def sign_in() -> SignIn:
    """As secrets.toml says. UserMistake where that cannot be read: a mistake in it must not open the door."""
    if not st.secrets.load_if_toml_exists():
        if any(Path(path).exists() for path in st.get_option("secrets.files")):
            raise UserMistake("secrets.toml cannot be read as TOML, so nobody is let in; correct it.")
        return SignIn(method="none", people=People())
    try:
        people = People.model_validate(dict(st.secrets.get("people", {})))
    except (ValidationError, TypeError, ValueError) as error:
        why = wrong_fields(error) if isinstance(error, ValidationError) else "it is no section"
        raise UserMistake(f"[people] in secrets.toml is wrong, so nobody is let in: {_without_values(why)}") from None
    for name in ("password", "teacher_password"):
        if 0 < len(getattr(people, name)) < SHORTEST_PASSWORD:
            raise UserMistake(
                f"{name} in secrets.toml is shorter than {SHORTEST_PASSWORD} letters; choose a longer one."
            )
    has_provider = "auth" in st.secrets
    if has_provider and people.password:
        raise UserMistake("secrets.toml has [auth] and a password; keep one of them, so that it is clear who is who.")
    if people.teacher_password and not people.password:
        raise UserMistake("secrets.toml has a teacher_password without a password; people could not come in.")
    if people.password and people.password == people.teacher_password:
        raise UserMistake("password and teacher_password in secrets.toml are the same; then everybody is a teacher.")
    return SignIn(method="provider" if has_provider else "password" if people.password else "none", people=people)


def _without_values(why: str) -> str:
    """Nothing that stands in secrets.toml is shown but the names of known fields."""
    named = [name for name in People.model_fields if name in why]
    return f"look at {', '.join(named)}" if named else f"it may have {', '.join(People.model_fields)}"


def person() -> Person:
    """Who sits in front of this browser tab; NOBODY where that is not known, also in a thread of the server."""
    how = sign_in()
    if how.method == "none":
        return OWNER
    if get_script_run_ctx() is None:
        return NOBODY
    if how.method == "password":
        return st.session_state.get(PERSON, NOBODY)
    return _from_provider(how.people)


def _from_provider(people: People) -> Person:
    """Who the provider says it is; NOBODY where it has not, or where this one is not let in."""
    if not st.user.is_logged_in:
        return NOBODY
    email = str(st.user.get("email") or "").casefold() if st.user.get("email_verified", True) else ""
    if people.allowed and not any(fnmatchcase(email, pattern.casefold()) for pattern in people.allowed):
        return NOBODY
    is_teacher = bool(email) and email in {one.casefold() for one in people.teachers}
    name = str(st.user.get("name") or st.user.get("preferred_username") or st.user.get("email") or "somebody")
    return _person(f"{st.user.get('iss')}\n{st.user.get('sub')}", name, is_teacher)


def _person(key: str, name: str, is_teacher: bool) -> Person:
    """`key` names the person for ever; what is kept of it with runs is a hash."""
    name = " ".join(plain(name).split())[:NAME_CHARACTERS].rstrip()
    return Person(id=hashlib.sha256(key.encode()).hexdigest()[:16], name=name, is_teacher=is_teacher)


def admit() -> None:
    """Return where this visitor may come in; else draw what is to be done first, and end the script."""
    try:
        how = sign_in()
        if how.method == "none":
            _must_be_at_home(how.people)
        elif person() == NOBODY:
            _draw_door(how)
            st.stop()
        st.session_state.pop("door.password", None)  # Streamlit keeps it until a run ends that is not begun again
    except UserMistake as mistake:
        st.error(escape(mistake, 600), icon=":material/lock:")
        st.stop()
    if context := get_script_run_ctx():
        _admitted.add(context.session_id)


def may_upload(session_id: str) -> bool:
    """Whether a session that wants to upload has come in."""
    return session_id in _admitted


def _must_be_at_home(people: People) -> None:
    """UserMistake where nobody signs in and the page is asked for from elsewhere than this machine."""
    headers = dict(st.context.headers)
    if people.open or not headers:  # every request has some; a test draws pages without any
        return
    host = urlsplit(f"//{headers.get('Host', '')}").hostname
    forwarded = {name.lower() for name in headers} & FORWARDED
    if st.get_option("server.address") in LOOPBACK and host in LOOPBACK and not forwarded:
        return
    raise UserMistake(
        "This server can be reached from other machines, and nobody signs in. Set up signing in (docs/serving.md), or "
        "start it with --server.address 127.0.0.1 and without a proxy."
    )


def _draw_door(how: SignIn) -> None:
    st.title("Atelier", anchor=False)
    if how.method == "provider":
        if st.user.is_logged_in:
            st.warning("Your account is not let in here. Ask whoever runs this server.", icon=":material/lock:")
            st.button("Sign in with another account", on_click=st.logout, key="door.other")
        else:
            st.button("Sign in", type="primary", icon=":material/login:", on_click=st.login, key="door.sign_in")
        return
    with st.form("door", width=420, clear_on_submit=False):
        name = st.text_input("Your name", key="door.name", max_chars=NAME_CHARACTERS, autocomplete="username")
        given = st.text_input("Password", key="door.password", type="password", autocomplete="current-password")
        if st.form_submit_button("Sign in", type="primary", icon=":material/login:"):
            _enter(how.people, name, given)


def _enter(people: People, name: str, given: str) -> None:
    """Let in whoever gives a name and a right password. What was typed is kept nowhere."""
    wrong = _wrong_passwords()
    while wrong and time.monotonic() - wrong[0] > 60:
        wrong.popleft()
    if len(wrong) >= WRONG_A_MINUTE:
        st.error("Too many wrong passwords. Wait a minute.", icon=":material/lock:")
        return
    shown = " ".join(plain(name).split())
    is_teacher = bool(people.teacher_password) and _same(given, people.teacher_password)
    if not is_teacher and not _same(given, people.password):
        wrong.append(time.monotonic())
        st.error("That is not the password.", icon=":material/lock:")
    elif not shown:
        st.error("Give a name too: it stands beside what you make.", icon=":material/lock:")
    else:
        role = "teacher" if is_teacher else "person"  # else a name that a teacher used would be one, too
        st.session_state[PERSON] = _person(f"{role} {shown.casefold()}", shown, is_teacher)
        st.rerun()


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


@st.cache_resource(show_spinner=False)
def _wrong_passwords() -> deque[float]:
    """When wrong passwords were given, oldest first."""
    return deque(maxlen=WRONG_A_MINUTE)


def draw_person() -> None:
    """Who is signed in, and the way out; nothing where nobody signs in."""
    how, who = sign_in(), person()
    if how.method == "none":
        return
    label = f"{escape(who.name, 24)}{' · teacher' if who.is_teacher else ''}"
    with st.popover(label, icon=":material/person:", type="tertiary", width="content", key="person"):
        st.button("Sign out", icon=":material/logout:", key="sign_out", on_click=_leave, args=(how.method,))


def _leave(method: str) -> None:
    if context := get_script_run_ctx():
        _admitted.discard(context.session_id)
    if method == "provider":
        st.logout()
    else:
        st.session_state.clear()  # what the next one at this browser must not find
