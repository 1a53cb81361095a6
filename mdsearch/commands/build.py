"""`mdsearch build`: a whole system as one command: search, training, one step, export, and a page of it."""

from __future__ import annotations

from pathlib import Path

from mdsearch.build_expected import expected_json, expected_stage, expected_text
from mdsearch.build_plan import build_command, planned_stages
from mdsearch.build_run import in_a_process, run_build
from mdsearch.commands import divide
from mdsearch.long_training import held
from space.shared.command_lines import typed_line
from training.teachers import describe_base


def main(words: list[str]) -> int:
    command = build_command(words)
    if command.base is not None:
        describe_base(Path(command.base).expanduser(), "base")
    stages, notes = planned_stages(command, divide)
    if command.dry_run:
        expected = [expected_stage(stage) for stage in stages]
        show = expected_json if command.format == "json" else expected_text
        print(show(expected, notes))
        return 1 if any(stage.not_there for stage in expected) else 0
    for line in notes:
        print(line)
    folder = command.folder()
    with held(folder):
        if status := run_build(command, stages, in_a_process):
            print(f"go on with: {typed_line('build', words)}")
            return status
        from analysis.system.page import write_system_page

        print(f"\npage: {write_system_page(folder)}")
    return 0
