"""What a person is putting together: a request in the making.

Nothing heavy is imported here, so that the first page comes at once.
"""

from dataclasses import dataclass, field
from typing import Any

from apps.workbench.parts import Part, parts_of, text_of
from apps.workbench.rules import Rule

BATCH = 16  # rows that go through the network together: so many results stream in at a time
MOST = 2000  # designs of a run
UPLOAD_MB = 5


@dataclass(frozen=True)
class Draft:
    """A request in the making.

    Attributes:
        parts: the template, part by part; () designs freely.
        task, drawn: what is done with drawn fragments in place of a template (molecules).
        rules: what must hold. wishes: what is wished, each in the domain's words.
        more: fields of a saved spec that no form shows (sampler, temperature, …); they are kept as they were.
    """

    domain: str
    title: str = ""
    parts: tuple[Part, ...] = ()
    task: str | None = None
    drawn: str = ""
    rules: tuple[Rule, ...] = ()
    wishes: tuple[str, ...] = ()
    n: int = 16
    seed: int = 0
    model: str | None = None
    label: str | None = None
    particles: int | None = None
    more: dict[str, Any] = field(default_factory=dict)
    parent: str | None = None

    @property
    def template(self) -> str | None:
        return (self.drawn if self.task else text_of(self.parts)).strip() or None

    @property
    def constraint(self) -> str | None:
        texts = [rule.text for rule in self.rules]
        return texts[0] if len(texts) == 1 else " & ".join(f"({text})" for text in texts) or None

    @property
    def regions(self) -> list[str]:
        """gap1, gap2, …: the places that a rule can be confined to."""
        return [] if self.task else [f"gap{k + 1}" for k in range(sum(part.designed for part in self.parts))]

    def table(self) -> dict[str, Any]:
        """The fields of the `DesignSpec`."""
        syntax = {"syntax": True} if self.domain == "smiles" else {}
        asked = {
            "domain": self.domain,
            "template": self.template,
            "task": self.task,
            "constraint": self.constraint,
            "wishes": list(self.wishes),
            "n": self.n,
            "seed": self.seed,
            "model": self.model,
            "label": self.label,
            "particles": self.particles if self.wishes or (self.particles or 1) > 1 else None,
        }
        given = {name: value for name, value in asked.items() if value is not None and value != []}
        return {"domain": self.domain, **given, **syntax, **self.more, "batch_size": BATCH}

    @classmethod
    def of(cls, table: dict[str, Any], title: str = "", parent: str | None = None) -> "Draft":
        """A draft of a spec's table, to go on from."""
        own = {"n", "seed", "model", "label", "particles"}
        given = {name: value for name, value in table.items() if name in own and value is not None}
        seen = own | {"domain", "template", "task", "constraint", "wishes", "batch_size"}
        text, task = table.get("template") or "", table.get("task")
        rules = (Rule("own", {"text": table["constraint"]}),) if table.get("constraint") else ()
        return cls(
            table.get("domain", "smiles"),
            title,
            () if task else parts_of(text, table.get("domain", "")),
            task,
            text if task else "",
            rules,
            tuple(table.get("wishes") or ()),
            more={name: value for name, value in table.items() if name not in seen and value is not None},
            parent=parent,
            **given,
        )
