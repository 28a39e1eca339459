"""Rules and wishes: forms in plain words, the list of what was asked, and whether it can be had, found out at once."""

from concurrent.futures import Future, wait
from dataclasses import replace

import streamlit as st

from apps.workbench import session
from apps.workbench.draft import Draft
from apps.workbench.rules import EVERYWHERE, FIGURES, KINDS, OFFERED, PHRASES, Rule, hard, wish_text
from apps.workbench.runner import Check
from apps.workbench.session import Services

LONGEST = 2000  # characters of a rule
PATIENCE = 0.25  # seconds that a page waits for a check before it is shown without, and between two looks


def show(services: Services) -> None:
    draft = session.draft()
    if draft is None:
        session.nothing("There is no template yet. Choose an example or begin your own.", "Go to Start", "start")
        return
    st.header("What must hold, what would be nice?", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        _rules(draft)
    with right:
        _wishes(draft)
    st.divider()
    unknown = feasibility(services, draft)
    with st.expander("The same as text", icon=":material/code:"):
        st.caption("Rules and wishes as the command line and Python take them.")
        st.json({name: v for name, v in draft.table().items() if name in ("template", "task", "constraint", "wishes")})
    st.button("Next: run", key="next", on_click=session.go, args=("run",), type="primary")
    until_checked(unknown)


# ── rules ──


def _rules(draft: Draft) -> None:
    st.subheader("Rules: hold in every design", anchor=False)
    st.caption("Built into each draw, and checked once more on the finished design.")
    for k, rule in enumerate(draft.rules):
        _line(rule.words, "always holds", "green", f"drop-rule-{k}", draft, "rules", k)
    if not draft.rules:
        st.caption("None yet: only what you pinned must stay.")
    with st.container(border=True):
        _new_rule(draft)


def _line(words: str, label: str, color: str, key: str, draft: Draft, name: str, k: int) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.text(words, width="stretch")
    row.badge(label, color=color)  # type: ignore[arg-type]
    row.button("Remove", key=key, on_click=_drop, args=(draft, name, k), type="tertiary", icon=":material/delete:")


def _drop(draft: Draft, name: str, k: int) -> None:
    kept = getattr(draft, name)
    session.put(replace(draft, **{name: (*kept[:k], *kept[k + 1 :])}))


def _new_rule(draft: Draft) -> None:
    kinds = OFFERED[draft.domain]
    kind = st.selectbox("Add a rule", kinds, format_func=lambda name: KINDS[name].label_of(draft.domain), key="rule-kind")
    told = KINDS[kind]
    st.caption(told.hint_of(draft.domain))
    values: dict = {}
    example = told.examples.get(draft.domain, "")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    for name in told.fields:
        if name == "what":
            values[name] = row.text_input("Which", example, key=f"rule-what-{kind}", max_chars=LONGEST, width=180)
        elif name == "phrases":
            values[name] = row.text_input("Words or phrases", example, key=f"rule-phrases-{kind}", max_chars=LONGEST)
        elif name == "text":
            values[name] = row.text_input("Rule", example, key="rule-text", max_chars=LONGEST)
        elif kind == "charge":
            preset = 3.0 if name == "low" else 6.0
            label = "at least" if name == "low" else "at most"
            values[name] = row.number_input(label, -100.0, 100.0, preset, 0.5, key=f"rule-charge-{name}", width=120)
        elif name == "low":
            values[name] = int(row.number_input("at least", 0, 1000, 0, key="rule-low", width=110))
        else:
            values[name] = int(row.number_input("at most", 0, 1000, 1, key="rule-high", width=110))
    regions = [EVERYWHERE, *draft.regions] if told.local else [EVERYWHERE]
    region = EVERYWHERE
    if len(regions) > 1:
        label = {EVERYWHERE: "everywhere", **{name: f"gap {name[3:]} alone" for name in regions[1:]}}
        region = row.selectbox("Where", regions, format_func=lambda name: label[name], key="rule-region", width=150)
    empty = any(not str(values[name]).strip() for name in told.fields)
    swapped = "low" in values and values["high"] < values["low"]
    if swapped:
        st.caption("“At least” is not to be larger than “at most”.")
    rule = Rule(kind, values, region)
    if st.button("Add this rule", key="add-rule", disabled=empty or swapped):  # no callback: it would know older entries
        session.put(replace(draft, rules=(*draft.rules, rule)))
        st.rerun()


# ── wishes ──


def _wishes(draft: Draft) -> None:
    st.subheader("Wishes: aimed at", anchor=False)
    st.caption("Each design is chosen from several attempts (particles): more of them come closer, and take longer.")
    for k, wish in enumerate(draft.wishes):
        try:
            firm = hard(wish, draft.domain)
        except ValueError:  # the check below says what is wrong with it
            firm = False
        label, color = ("or not returned", "blue") if firm else ("as far as possible", "orange")
        _line(_said(wish, draft.domain), label, color, f"drop-wish-{k}", draft, "wishes", k)
    if not draft.wishes:
        st.caption("None yet: designs follow what the model has learned.")
    with st.container(border=True):
        _new_wish(draft)
    if draft.wishes:
        given = draft.particles or 8
        wanted = st.select_slider(
            "Attempts for each design", [2, 4, 8, 16, 32, 64], min((2, 4, 8, 16, 32, 64), key=lambda n: abs(n - given))
        )
        if wanted != given:
            session.put(replace(draft, particles=wanted))
            st.rerun()


def _said(wish: str, domain: str) -> str:
    """A wish in words where it is one of the forms', otherwise as written."""
    if wish in PHRASES[domain]:
        return PHRASES[domain][wish]
    for name, (label, *_) in FIGURES[domain].items():
        words = wish.split()
        if words[0] == name and len(words) == 3:
            return f"{label} {'at least' if words[1] == '>=' else 'at most'} {words[2]}"
        if len(words) == 5 and words[2] == name:
            return f"{label} between {words[0]} and {words[4]}"
    return wish


def _new_wish(draft: Draft) -> None:
    figures, phrases = FIGURES[draft.domain], PHRASES[draft.domain]
    names = [*phrases, *figures, "own"]
    label = {**phrases, **{name: told[0] for name, told in figures.items()}, "own": "In the notation of wishes"}
    name = st.selectbox("Add a wish", names, format_func=lambda key: label[key], key="wish-name")
    text = name
    row = st.container(horizontal=True, vertical_alignment="bottom")
    if name in ("has", "lacks"):
        text = f"{name} {row.text_input('Substructure as SMARTS', 'c1ccncc1', key='wish-smarts', max_chars=LONGEST).strip()}"
    elif name == "own":
        example = {"smiles": "similarity c1ccccc1O >= 0.4", "protein": "charge >= 3", "text": "words <= 12"}[draft.domain]
        text = row.text_input("Wish", example, key="wish-own", max_chars=LONGEST, help="docs/wishes.md lists them.").strip()
    elif name in figures:
        _, hint, value, step = figures[name]
        st.caption(hint)
        how = row.selectbox("How", ["at least", "at most", "between"], key=f"wish-how-{name}", width=130)
        low = row.number_input("Value", value=value, step=step, key=f"wish-value-{name}", width=130)
        high = low
        if how == "between":
            high = row.number_input("and", value=value + 2 * step, step=step, key=f"wish-high-{name}", width=130)
        text = wish_text(name, how, low, high)
    there = text in draft.wishes
    if st.button("Add this wish", key="add-wish", disabled=there or not text):
        session.put(replace(draft, wishes=(*draft.wishes, text)))
        st.rerun()


# ── can it be had? ──


def feasibility(services: Services, draft: Draft) -> Future[Check] | None:
    """Whether the request can be answered. What is not known yet is returned, for `until_checked` at the end of the page."""
    found = services.runner.check(draft.table())
    wait([found], PATIENCE)
    if not found.done():
        st.info("Checking whether this can be designed …", icon=":material/hourglass_top:")
        return found
    _verdict(in_words(found.result().trouble, draft))
    return None


def until_checked(found: Future[Check] | None) -> None:
    """Show the page again once the check is done; whatever is pressed until then comes first.

    No fragment that looks again and again: Streamlit loses pages on which a fragment's turn meets a press (its issue 9921).
    """
    if found is None:
        return
    place = st.empty()
    while not found.done():
        place.empty()  # here Streamlit ends a script whose page has gone on
        wait([found], PATIENCE)
    st.rerun()


def in_words(trouble: str, draft: Draft) -> str:
    """What the engine says, with the rules of the page in the words that they have there."""
    for rule in sorted(draft.rules, key=lambda rule: -len(rule.text)):
        trouble = trouble.replace(rule.text, f"“{rule.words}”") if rule.kind != "own" else trouble
    return trouble


def _verdict(trouble: str) -> None:
    if not trouble:
        st.success("This can be designed.", icon=":material/check_circle:")
        return
    if "satisfy these together" in trouble or "can hold together" in trouble:
        session.trouble("These contradict each other. Remove or loosen one of the lines with a dot:", trouble)
    else:
        session.trouble("This cannot be designed yet. What is expected:", trouble)
