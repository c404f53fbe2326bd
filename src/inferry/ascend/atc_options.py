"""atc's options: names and legal values, as data.

Names and values are those of ``atc --help``, its documentation and the checks that GE makes first (CANN 8.5).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        values: All that are legal; none where `pattern` decides.
        pattern: What a value looks like, as a regular expression for the whole of it.
        expected: The pattern in words.
        code: With which atc refuses another value.
    """

    values: tuple[str, ...] = ()
    pattern: str = ".*"
    expected: str = "any text"
    code: str = "E10001"

    def accepts(self, value: str) -> bool:
        """Whether the value is legal."""
        if self.values:
            return value in self.values
        return re.fullmatch(self.pattern, value, re.DOTALL) is not None

    @property
    def wanted(self) -> str:
        """Legal values, in words."""
        return " or ".join(self.values) if self.values else self.expected


def _one_of(*values: str, code: str = "E10001") -> Option:
    return Option(values=values, code=code)


_SWITCH: Final = _one_of("0", "1", code="E10006")
_BOOLEAN: Final = _one_of("true", "false", code="E10005")
_TEXT: Final = Option()
_PATH: Final = Option(
    pattern=r"[A-Za-z0-9_\-./\u4e00-\u9fa5]+",
    expected="a path of letters, digits, _ - . / and Chinese characters, without spaces",
)
_PATHS: Final = Option(pattern=r"[A-Za-z0-9_\-./\u4e00-\u9fa5,;]+", expected="paths of letters, digits, _ - . /")
_BOOLEANS: Final = Option(
    pattern=r"\s*(true|false)\s*(,\s*(true|false)\s*)*",
    expected="true or false for each node, with commas",
    code="E10005",
)
_NODES: Final = Option(pattern="[^;]+(;[^;]+)*;?", expected="names, with semicolons between them")

OUTPUT_TYPES: Final = ("FP32", "FP16", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64")
OUTPUT_TYPES_950: Final = ("HIF8", "FP8E5M2", "FP8E4M3FN")
_TYPE: Final = "(" + "|".join((*OUTPUT_TYPES, "DOUBLE", *OUTPUT_TYPES_950)) + ")"

OPTIONS: Final[Mapping[str, Option]] = {
    "mode": _one_of("0", "1", "3", "5", "6", "7", "30"),
    "framework": _one_of("0", "1", "3", "5", code="E10007"),
    "model": _PATH,
    "weight": _PATH,
    "om": _PATH,
    "json": _PATH,
    "output": _PATH,
    "soc_version": Option(
        pattern=r"Ascend(310|910|950|035)\w*", expected="a name such as Ascend310P3 or Ascend910B3 (npu-smi info)"
    ),
    "singleop": Option(pattern=_PATH.pattern, expected=_PATH.expected, code="E10023"),
    "input_format": _one_of("NCHW", "NHWC", "ND", "NCDHW", "NDHWC"),
    "input_shape": _TEXT,
    "input_shape_range": _TEXT,
    "input_hint_shape": Option(
        pattern=r"\s*\d+\s*:\s*\[[\d,\s]*\]\s*(;\s*\d+\s*:\s*\[[\d,\s]*\]\s*)*;?",
        expected='an index and a shape in brackets for each input: "0:[1,3,224,224];1:[1]"',
        code="E10014",
    ),
    "dynamic_batch_size": _TEXT,
    "dynamic_image_size": _TEXT,
    "dynamic_dims": _TEXT,
    "insert_op_conf": _PATH,
    "output_type": Option(
        pattern=rf"{_TYPE}|[^;]+:\d+:{_TYPE}(;[^;]+:\d+:{_TYPE})*;?",
        expected=f'one of {", ".join((*OUTPUT_TYPES, "DOUBLE"))}, or "node:0:FP16;node2:1:FP32"',
    ),
    "out_nodes": _NODES,
    "input_fp16_nodes": _NODES,
    "is_input_adjust_hw_layout": _BOOLEANS,
    "is_output_adjust_hw_layout": _BOOLEANS,
    "precision_mode": _one_of(
        "force_fp16",
        "force_fp32",
        "cube_fp16in_fp32out",
        "allow_mix_precision",
        "allow_mix_precision_fp16",
        "allow_mix_precision_bf16",
        "allow_fp32_to_fp16",
        "allow_fp32_to_bf16",
        "must_keep_origin_dtype",
    ),
    "precision_mode_v2": _one_of(
        "fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16", "cube_hif8", "mixed_hif8"
    ),
    "modify_mixlist": _PATH,
    "op_precision_mode": _PATH,
    "op_select_implmode": _one_of(
        "high_precision", "high_performance", "high_precision_for_all", "high_performance_for_all"
    ),
    "optypelist_for_implmode": Option(pattern=r"\w+(,\w+)*", expected="operator types with commas: Gelu,Sigmoid"),
    "keep_dtype": _PATH,
    "customize_dtypes": _PATH,
    "fusion_switch_file": _PATH,
    "optimization_switch": Option(
        pattern=r"\w+:(on|off)(;\w+:(on|off))*;?", expected='passes with on or off: "PassA:on;PassB:off"'
    ),
    "buffer_optimize": _one_of("l2_optimize", "off_optimize", "l1_optimize"),
    "compression_optimize_conf": _PATH,
    "enable_small_channel": _SWITCH,
    "jit_compile": _one_of("0", "1", "2"),
    "external_weight": _one_of("0", "1", "2"),
    "deterministic": _SWITCH,
    "deterministic_level": _one_of("0", "1", "2", "3"),
    "sparsity": _SWITCH,
    "core_type": _one_of("AiCore", "VectorCore"),
    "aicore_num": Option(pattern=r"\d+(\|\d*)?|\|\d+", expected='numbers of cores such as 24 or "24|48"'),
    "virtual_type": _SWITCH,
    "op_debug_level": _one_of("0", "1", "2", "3", "4"),
    "debug_dir": _PATH,
    "op_debug_config": _PATH,
    "status_check": _SWITCH,
    "save_original_model": _BOOLEAN,
    "disable_reuse_memory": _SWITCH,
    "op_compiler_cache_mode": _one_of("enable", "disable", "force"),
    "op_compiler_cache_dir": _PATH,
    "mdl_bank_path": _PATH,
    "op_bank_path": _PATH,
    "log": _one_of("debug", "info", "warning", "error", "null", code="E10010"),
    "host_env_os": _one_of("linux", "minios"),
    "host_env_cpu": _one_of("x86_64", "aarch64", "arm64", "arm"),
    "ac_parallel_enable": _SWITCH,
    "tiling_schedule_optimize": _SWITCH,
    "quant_dumpable": _SWITCH,
    "is_weight_clip": _SWITCH,
    "atomic_clean_policy": _SWITCH,
    "oo_level": _one_of("O1", "O3"),
    "oo_constant_folding": _BOOLEAN,
    "oo_dead_code_elimination": _BOOLEAN,
    "topo_sorting_mode": _one_of("0", "1", "2", "3"),
    "static_model_ops_lower_limit": Option(pattern=r"-1|\d+", expected="an integer from -1 on"),
    "raw_ge_options": _PATH,
    "raw_ge_options_ignore_unsupported": _BOOLEAN,
    "check_report": _PATH,
    "enable_compress_weight": _BOOLEAN,
    "compress_weight_conf": _PATH,
    "enable_attr_compression": _BOOLEAN,
    "enable_single_stream": _BOOLEAN,
    "multi_stream_parallel_mode": _TEXT,
    "enable_scope_fusion_passes": _TEXT,
    "allow_hf32": _BOOLEAN,
    "op_name_map": _PATHS,
    "cluster_config": _PATH,
    "hccl_sub_comm_config": _PATH,
    "shape_generalized_build_mode": _one_of("shape_generalized", "shape_precise"),
    "dump_mode": _SWITCH,
    "display_model_info": _SWITCH,
    "build_config": _TEXT,
}
"""Every option that the linter knows, by its name with underscores."""
