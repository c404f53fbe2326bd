"""Arguments and options that several verbs take, written once."""

from pathlib import Path
from typing import Annotated

import typer

BundleArgument = Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="BUNDLE")]
RunArgument = Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")]
FamilyArgument = Annotated[str, typer.Argument(help="Model family; see `inferry models`.", metavar="FAMILY")]
Checkpoint = Annotated[str, typer.Option(help="Path of the checkpoint, or the name of a preset, which is fetched.")]
Data = Annotated[
    Path,
    typer.Option(help="Data set: a folder (LibriSpeech, AN4, ImageNet, VQA v2, any files), a manifest or one file."),
]
Output = Annotated[Path, typer.Option(help="Folder to write.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output instead of text.")]
NoReference = Annotated[
    bool, typer.Option("--no-reference", help="Do not compare with the original network; the bundle says so.")
]
ImageSize = Annotated[
    int | None, typer.Option(min=1, help="Pixels of both sides of the network's input (beit); default: as trained.")
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        help="Folder with the tokenizer, or the name of a published one (vilbert-vqa); default: of the checkpoint."
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(help="Weights of the region detector: a file, a published name, or none (vilbert-vqa)."),
]
Backend = Annotated[str, typer.Option(help="Runtime; see `inferry doctor`.")]
Precision = Annotated[str, typer.Option(help="fp32; on an NPU what the bundle was compiled for.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the network; default: all this process may use.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Most samples a batch; default: measured where the run is long. A beam search takes one at a time."
    ),
]
Plan = Annotated[Path | None, typer.Option(help="Follow this plan file (of `inferry plan --output`).")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads that read and process; default: one a processor.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Run the first samples only.")]
Layout = Annotated[str | None, typer.Option(help="Layout of the data set; default: recognised.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit code 1 if any sample was quarantined.")]
Beam = Annotated[
    int | None, typer.Option(min=1, help="Width of the prefix beam search; default: greedy, 64 with --lm or --hotword.")
]
LanguageModel = Annotated[
    Path | None, typer.Option("--lm", help="Language model in ARPA format; the beam search asks it.")
]
Alpha = Annotated[float, typer.Option(min=0.0, help="Weight of the language model.")]
Beta = Annotated[float, typer.Option(help="Bonus for each word that the language model scores.")]
Hotword = Annotated[
    list[str] | None, typer.Option(help="A word or phrase that the beam search prefers; may be given several times.")
]
HotwordWeight = Annotated[float, typer.Option(min=0.0, help="Bonus for each word of a hotword.")]
MaxSeconds = Annotated[
    float, typer.Option(min=0.0, help="Longer sounds run in overlapping windows of this length; 0: never cut.")
]
