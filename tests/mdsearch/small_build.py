"""A small system of `mdsearch build`: what its stages would be."""

from __future__ import annotations

from mdsearch.build_plan import BuildCommand, BuildStage, build_command, planned_stages
from mdsearch.commands import divide

SMALL = """# @package _global_
name: small
stages:
  autoencoder: train autoencoder autoencoder=small reconstruction.steps=3
  decoder: train autoencoder autoencoder=tiny init_from={autoencoder} reconstruction.decoder_only=true
  train: train training.latents.codec=vae training.latents.folder={decoder|autoencoder} training.steps=5
  distill: distill init_from={train}
  samples: generate samples model={distill} count=4
minutes: {train: 2, distill: 0.5}
"""


def command(*words: str) -> BuildCommand:
    return build_command(["experiment=./small.yaml", *words])


def planned(asked: BuildCommand) -> tuple[list[BuildStage], list[str]]:
    return planned_stages(asked, divide)


def lines(*words: str) -> dict[str, str]:
    return {stage.name: stage.line() for stage in planned(command(*words))[0]}
