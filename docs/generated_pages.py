"""Pages of the reference that follow from the code: commands, configuration, metrics, schemas. A MkDocs hook.

MkDocs imports this file (`hooks` in `mkdocs.yml`) and calls `on_files` before it reads the pages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from prometheus_client import CollectorRegistry

ROOT: Final = Path(__file__).resolve().parent.parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages.

    Args:
        files: what MkDocs found under `docs/`.
        config: of the site.

    Returns:
        The same files and the generated pages.
    """
    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def pages() -> dict[str, str]:
    """Name of each generated page -> its Markdown."""
    return {"commands": commands(), "configuration": configuration(), "metrics": metrics(), "schemas": schemas()}


def commands() -> str:
    """Every subcommand with its options, as `--help` has them."""
    from detector.plugins import load_entry
    from streaming.cli import SUMMARIES, as_command
    from streaming.cli import commands as installed

    text = (
        "# Commands\n\n`swarmlight COMMAND --help` prints the same. Exit status: 0 done; 1 an error; "
        "2 unusable arguments, configuration or input; 130 interrupted.\n"
    )
    for name, entry in installed().items():
        if name in SUMMARIES:
            text += _command(f"swarmlight {name}", as_command(name, load_entry(entry)))
    return text


def _command(name: str, command: Any) -> str:
    """A command and those below it: heading, help, and a table of arguments and options."""
    text = f"\n## {name}\n\n{command.help or ''}\n"
    rows = []
    for each in command.params:
        if each.name == "help":
            continue
        spelled = (
            ", ".join(f"`{word}`" for word in each.opts)
            if each.param_type_name == "option"
            else f"`{each.name.upper()}`"
        )
        about = " ".join((getattr(each, "help", None) or "").split()).replace("|", "\\|")
        rows.append(f"| {spelled} | {about} | {'yes' if each.required else ''} |")
    if rows:
        text += "\n| argument or option | what it is | required |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    for below, inner in getattr(command, "commands", {}).items():
        text += _command(f"{name} {below}", inner)
    return text


def configuration() -> str:
    """Every configuration key, as `swarmlight config` prints it."""
    from streaming.config import load_config, render

    return (
        "# Configuration\n\nOne TOML file, and the environment over it: `[kafka] topic_prefix` is "
        "`SWARMLIGHT_KAFKA__TOPIC_PREFIX`. Unknown keys are refused, with the nearest known one. This is what "
        f"`swarmlight config` prints:\n\n```toml\n{render(load_config(None, {}))}\n```\n"
    )


def metrics() -> str:
    """Every metric of the worker and of the feed, from their registries."""
    from moderation.feed_metrics import FeedMetrics
    from streaming.worker_metrics import Metrics

    text = "# Metrics\n\nWhat `/metrics` says. No label holds anything that a stranger chose.\n"
    for title, registry in (("Worker", Metrics(CollectorRegistry()).registry), ("Feed", FeedMetrics().registry)):
        text += f"\n## {title}\n\n| metric | type | labels | what it is |\n| --- | --- | --- | --- |\n"
        rows = []
        for collector in list(registry._collector_to_names):
            name, kind = getattr(collector, "_name", ""), getattr(collector, "_type", "")
            if name:
                labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
                full = f"{name}_total" if kind == "counter" else name
                rows.append(f"| `{full}` | {kind} | {labels} | {getattr(collector, '_documentation', '')} |")
        text += "\n".join(sorted(rows)) + "\n"
    return text


def schemas() -> str:
    """The records and their fields, from the JSON Schemas under `docs/reference/schema`."""
    text = (
        "# Records and their schemas\n\nEverything that crosses a process or a file has a JSON Schema, exported by "
        "`swarmlight schema` from the types that the code itself reads and writes.\n"
    )
    for path in sorted((ROOT / "docs" / "reference" / "schema").glob("*.json")):
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        top = schema.get("$defs", {}).get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
        text += f"\n## {path.stem}\n\n{top.get('description', '')}\n\n[JSON Schema](schema/{path.name})\n\n"
        text += "| field | type | required |\n| --- | --- | --- |\n"
        for name, field in top.get("properties", {}).items():
            required = "yes" if name in top.get("required", []) else ""
            text += f"| `{name}` | {_type(field)} | {required} |\n"
    return text


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("type", "any"))
