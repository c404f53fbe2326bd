"""``run.sh`` of a pack: compiles, runs and collects on a machine that has CANN and nothing of ours.

POSIX shell, because nothing else is certain there. The script stops at the first atc that fails, with atc's own exit
code; an ais_bench that fails is named at the end, and the others still run.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MODEL: Final = "model"
"""Folder of the ONNX file and of what atc reads; atc runs in it."""

INPUTS: Final = "inputs"
"""The job folder (see `inferry.pipeline.jobs`)."""

RESULTS: Final = "results"
"""Folder that the script makes: what ais_bench wrote, and logs."""

CHECKSUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class PackRun:
    """One call of ais_bench.

    Attributes:
        name: Of its output folder, unique.
        folders: Input folders in the model's order, relative to `INPUTS`.
        files: That it must write: one for each sample and output.
        options: That set the gear.
    """

    name: str
    folders: tuple[str, ...]
    files: int
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackUnit:
    """One om, and what runs on it.

    Attributes:
        stem: Of the om, without the suffix.
        command: atc's, as run in `MODEL`.
        runs: In order.
    """

    stem: str
    command: tuple[str, ...]
    runs: tuple[PackRun, ...]


_HEAD: Final = r"""#!/bin/sh
# Compiles the model with atc, runs it with ais_bench on every prepared input, and collects what comes out.
# Needs CANN (its set_env.sh sourced) and ais_bench. Usage: sh run.sh
#   DEVICE=1 sh run.sh                  another NPU than number 0
#   AIS_BENCH="ais_bench" sh run.sh     another way to call it than "python3 -m ais_bench"
#   FORCE=1 sh run.sh                   compile and run again what is there already
set -u
umask 027
export LC_ALL=C
# Without CDPATH, in which cd would look for another folder of this name.
CDPATH="" cd -- "$(dirname -- "$0")" || exit 1
DEVICE="${DEVICE:-0}"
AIS_BENCH="${AIS_BENCH:-python3 -m ais_bench}"
FORCE="${FORCE:-}"
failed=""

say() { printf '%s\n' "$*"; }
stop() { code=$1; shift; printf 'run.sh: %s\n' "$*" >&2; exit "$code"; }
# Some shells go on where the program, not the shell, was interrupted.
trap 'stop 130 "interrupted; sh run.sh goes on where it stopped"' INT
trap 'stop 143 "ended; sh run.sh goes on where it stopped"' TERM

case "$PWD" in
  *[!_A-Za-z0-9/.-]*) stop 1 "ais_bench refuses the path $PWD: letters, digits and _ - . only. Move this folder." ;;
esac
[ "$PWD" = "$(pwd -P)" ] || stop 1 "$PWD is reached through a link, which ais_bench refuses: cd to $(pwd -P)"
command -v atc >/dev/null 2>&1 || stop 127 "atc is not on the PATH: source set_env.sh of CANN in this shell"
# shellcheck disable=SC2086 # the variable may hold several words
if ! said="$($AIS_BENCH --help 2>&1)"; then
  say "$said" | tail -n 3 >&2
  stop 127 "'$AIS_BENCH' cannot be run: install ais_bench, source set_env.sh of CANN, or set AIS_BENCH"
fi
if command -v sha256sum >/dev/null 2>&1; then
  sha256sum --quiet -c @CHECKSUMS@ || stop 1 "files of this folder are missing or changed: copy it again"
else
  say "sha256sum is missing: the files are not checked"
fi
# ais_bench refuses files that others may write, which unpacking may have made of them.
chmod -R go-w . 2>/dev/null || stop 1 "these files are not yours, as ais_bench wants them: copy this folder"
# Everything that is packed, this script included: an om and results are of one pack, and may lie here from another.
pack="$(cksum <@CHECKSUMS@)"
if [ -d @RESULTS@ ] && [ "$(cat @RESULTS@/logs/pack.cksum 2>/dev/null)" != "$pack" ]; then
  aside="@RESULTS@.before.$(date -u +%Y%m%dT%H%M%SZ).$$"
  mv @RESULTS@ "$aside" || stop 1 "@RESULTS@ is of another pack and cannot be moved to $aside"
  say "@RESULTS@ is of another pack: it is $aside now"
fi
mkdir -p @RESULTS@/logs || stop 1 "$PWD/@RESULTS@/logs cannot be made: put this folder where you may write"
# Of an earlier time: it must not be taken for what this time makes.
rm -f @RESULTS@.tar.gz
printf '%s\n' "$pack" >@RESULTS@/logs/pack.cksum

# The likeliest place first: what set_env.sh says, then around atc itself.
atc="$(command -v atc)"
atc="$(readlink -f "$atc" 2>/dev/null || printf '%s' "$atc")"
near="${atc%/*/*}"
cann="unknown"
for folder in "${ASCEND_TOOLKIT_HOME:-}" "${ASCEND_HOME_PATH:-}" "$near" "${near%/*}" "${near%/*/*}"; do
  for file in "$folder/version.cfg" "$folder"/*-linux/ascend_toolkit_install.info; do
    [ "$cann" = unknown ] && [ -n "$folder" ] && [ -f "$file" ] || continue
    case "$file" in
      *.cfg) stated="$(tr '\n' ' ' <"$file")" ;;
      *) stated="$(grep '^version=' "$file")" ;;
    esac
    cann="${stated:-unknown}"
  done
done

# What computes: noted where something is computed, not where all was done before.
note_system() {
  {
    say "pack: @JOB@"
    say "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    say "machine: $(uname -srm)"
    say "device: $DEVICE"
    say "ais_bench: $AIS_BENCH"
    if [ "$cann" != unknown ]; then say "cann: $cann"; fi
    if command -v npu-smi >/dev/null 2>&1; then npu-smi info; else say "npu-smi: not found"; fi
  } >@RESULTS@/system.txt 2>&1
}

# Sets $om to the file that atc made of a stem: some versions add the system to its name.
find_om() {
  om=""
  for file in "@MODEL@/$1.om" "@MODEL@/$1"_linux_*.om; do
    if [ -f "$file" ]; then om="$file"; fi
  done
}

# made_of OM: what it was made of, and with
made_of() { say "$pack $(cksum <"$1") $cann"; }

# count_files FOLDER
count_files() { if [ -d "$1" ]; then find "$1" -type f | wc -l; else say 0; fi; }

# compile STEM COMMAND...
compile() {
  stem=$1; shift
  find_om "$stem"
  # What another pack, or another version of CANN, made is compiled again, and so is an om that atc did not make.
  if [ -n "$om" ] && [ -z "$FORCE" ] && [ "$(cat "@MODEL@/$stem.compiled" 2>/dev/null)" = "$(made_of "$om")" ]; then
    say "$stem: compiled before"
    return
  fi
  rm -f "@MODEL@/$stem.compiled" "@MODEL@/$stem.om" "@MODEL@/$stem"_linux_*.om
  note_system
  say "$stem: atc compiles, which takes minutes ..."
  log="@RESULTS@/logs/atc_$stem.log"
  (cd @MODEL@ && "$@") >"$log" 2>&1
  code=$?
  if [ "$code" -ne 0 ]; then
    cat "$log" >&2
    stop "$code" "atc failed on $stem with the exit code $code"
  fi
  find_om "$stem"
  grep -q 'ATC run success' "$log" || stop 1 "atc does not say that it succeeded on $stem; see $log"
  [ -n "$om" ] || stop 1 "atc says that it succeeded, and there is no @MODEL@/$stem.om; see $log"
  made_of "$om" >"@MODEL@/$stem.compiled"
}

# bench NAME FOLDERS FILES OPTIONS...: runs on $om, which must write so many files
bench() {
  name=$1; folders=$2; files=$3; shift 3
  summary="@RESULTS@/${name}_summary.json"
  # The results of another om, or of another NPU, are not those of these.
  made_by="@RESULTS@/logs/$name.made_by"
  this="@JOB@ $DEVICE $(made_of "$om")"
  if [ -f "$summary" ] && [ -z "$FORCE" ] && [ "$(cat "$made_by" 2>/dev/null)" = "$this" ] &&
    [ "$(count_files "@RESULTS@/$name")" -eq "$files" ]; then
    say "$name: run before"
    return
  fi
  rm -rf "@RESULTS@/$name" "$summary"
  note_system
  say "$name: ais_bench runs ..."
  log="@RESULTS@/logs/ais_bench_$name.log"
  # shellcheck disable=SC2086 # the variable may hold several words
  $AIS_BENCH --model "$om" --input "$folders" --output @RESULTS@ --output_dirname "$name" --outfmt BIN \
    --device "$DEVICE" "$@" >"$log" 2>&1
  code=$?
  count="$(count_files "@RESULTS@/$name")"
  if [ "$code" -ne 0 ] || [ ! -f "$summary" ] || [ "$count" -ne "$files" ]; then
    tail -n 20 "$log" >&2
    say "$name: FAILED (exit code $code, $count of $files output files); see $log" >&2
    # Nothing of a failed run must be taken for a result.
    rm -rf "@RESULTS@/$name" "$summary"
    failed="$failed $name"
    return
  fi
  say "$this" >"$made_by"
  grep -E 'throughput|NPU_compute_time' "$log" || true
}

"""

_TAIL: Final = r"""
if [ -n "$failed" ]; then
  stop 1 "failed:$failed. What succeeded is in @RESULTS@; sh run.sh tries the rest again"
fi
# Under its name only when it is whole.
if ! tar -czf @RESULTS@.tar.gz.part @RESULTS@ || ! mv -f @RESULTS@.tar.gz.part @RESULTS@.tar.gz; then
  stop 1 "@RESULTS@.tar.gz cannot be written"
fi
say "All done. Take @RESULTS@.tar.gz back, unpack it in this folder's copy there, and run:"
say "  inferry postprocess BUNDLE --outputs @RESULTS@ --job @INPUTS@ --output RUN"
"""


def run_script(units: Sequence[PackUnit], job: str) -> str:
    """The text of run.sh.

    Args:
        units: In the order in which they are compiled and run.
        job: The id of the job, which the results are marked with.
    """
    lines = []
    for unit in units:
        lines.append(f"compile {shlex.join([unit.stem, *unit.command])}")
        for run in unit.runs:
            folders = ",".join(f"{INPUTS}/{folder}" for folder in run.folders)
            lines.append(f"bench {shlex.join([run.name, folders, str(run.files), *run.options])}")
    text = f"{_HEAD}{chr(10).join(lines)}\n{_TAIL}"
    values = {"CHECKSUMS": CHECKSUMS, "RESULTS": RESULTS, "MODEL": MODEL, "INPUTS": INPUTS, "JOB": job}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
