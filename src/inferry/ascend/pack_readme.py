"""``README.txt`` of a pack: for somebody on the NPU's machine who has never heard of Inferry."""

from collections.abc import Mapping, Sequence

from inferry.ascend.pack_script import INPUTS, MODEL, RESULTS, PackUnit


def readme_text(units: Sequence[PackUnit], soc: str, precision: str, counts: Mapping[str, int], version: str) -> str:
    """The text, at most 80 columns wide.

    Args:
        units: What the script compiles and runs.
        soc: The chip.
        precision: That the model is compiled for.
        counts: Of the job: ``samples``, ``pieces``, ``quarantined``.
        version: Of Inferry.
    """
    runs = "\n".join(f"  {run.name}" for unit in units for run in unit.runs)
    return f"""A model and its inputs, ready to run on an Ascend NPU
=====================================================

Chip: {soc}. Precision: {precision}. Written by Inferry {version}.
{counts["samples"]:,} samples, {counts["pieces"]:,} files for each input, {counts["quarantined"]:,} samples left out
(with the reasons in {INPUTS}/samples.jsonl).

What this machine needs: CANN (atc), ais_bench, and an NPU. Nothing of Inferry.

1. Put this folder where the whole path has letters, digits and _ - . only.
2. Source CANN's set_env.sh, and run:

     sh run.sh

   DEVICE=1 sh run.sh takes another NPU. AIS_BENCH="..." sh run.sh calls
   ais_bench in another way than "python3 -m ais_bench". What was compiled or
   run before, of this pack, with this CANN, on this NPU, is not done again,
   unless FORCE=1. {RESULTS}/ of another pack is moved aside. For another chip
   pack again.

3. Take {RESULTS}.tar.gz back to the machine with the bundle, and run there:

     tar -xzf {RESULTS}.tar.gz
     inferry postprocess BUNDLE --job PACK/{INPUTS} --outputs {RESULTS} --output RUN

What is in it
-------------
run.sh        checks the files, compiles with atc, runs ais_bench, collects
{MODEL}/        the ONNX file, and what atc reads
{INPUTS}/       input folders; job.json and samples.jsonl say what they are
pack.json     what was packed
SHA256SUMS    of every file

The runs, one for each shape and batch size:
{runs}
"""
