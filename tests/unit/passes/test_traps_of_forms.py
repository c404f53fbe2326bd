"""More graphs in which a careless pass goes wrong: loops, recurrent layers, dtypes, fused forms, unusual models."""

import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from onnx import numpy_helper, parser

from inferry.passes.registry import TARGETS

OWN = ("unroll-loops", "forward-recurrences", "narrow-integers", "narrow-doubles", "positive-gather", "fold-batch-norm")
"""Passes that change a trap only where it says so."""


@dataclass(frozen=True)
class Trap:
    """A graph in ONNX's text form.

    Attributes:
        body: Its nodes.
        inputs: Likewise.
        outputs: Likewise; their types are left to inference.
        counts: Places that a pass changes and those that it declines, on the way to an Ascend.
        problems: How many things the target would still refuse.
        functions: Local functions, of the domain ``local``.
        rolled_back: Passes that are found out.
    """

    body: str
    inputs: str = "float[b, t] x"
    outputs: str = "y"
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: int = 0
    functions: str = ""
    rolled_back: tuple[str, ...] = ()

    def proto(self):
        domains = '"": 17' + (', "local": 1' if self.functions else "")
        graph = f"g ({self.inputs}) => ({self.outputs}) {{ {self.body} }}"
        proto = parser.parse_model(f"<ir_version: 8, opset_import: [{domains}]> {graph} {self.functions}")
        words = set(re.findall(r"\w+", self.body))
        proto.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in WEIGHTS.items() if name in words)
        return proto


random = np.random.default_rng(4)
SHAPES = {"lstm_w": (2, 20, 6), "lstm_r": (2, 20, 5), "lstm_b": (2, 40), "one_w": (1, 20, 6), "one_r": (1, 20, 5)}
SHAPES |= {"gru_w": (1, 15, 6), "gru_r": (1, 15, 5), "rnn_w": (2, 5, 6), "rnn_r": (2, 5, 5), "rnn_b": (2, 10)}
SHAPES |= {"gain": (6,), "shift": (6,), "bias": (6,), "line": (6,), "square": (6, 6), "other": (6, 6)}
SHAPES |= {"kernel": (6, 6, 3), "matrix": (6, 8)}
FLOATS = {"root": 2**0.5, "one": 1, "half": 0.5, "eps": 1e-5, "two": 2, "zero": 0, "lowest": -np.inf, "eighth": 0.125}
WEIGHTS = {name: (random.standard_normal(shape) / 2).astype(np.float32) for name, shape in SHAPES.items()}
WEIGHTS |= {name: np.float32(value) for name, value in FLOATS.items()}
WEIGHTS |= {"tenth": np.float64(0.1), "stamp": np.float64(1.6e9 + 1), "double2": np.float64(2)}
WEIGHTS |= {
    name: np.float16(value) for name, value in {"root16": 2**0.5, "one16": 1, "half16": 0.5, "low16": -6e4}.items()
}
WEIGHTS |= {f"w{number}": np.array(number) for number in range(4)} | {"minus": np.array(-1), "last": np.array([-1])}
WEIGHTS |= {f"i{number}": np.array([number]) for number in range(4)} | {"big": np.array([2**33])}
WEIGHTS |= {"end": np.array([2**62]), "pair": np.array([-1, 2])}

BODY = "body (int64 i, bool c, float[b, t] v) => (bool d, float[b, t] w)"
GELU = "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)"
NORM = """m = ReduceMean <axes = [-1]> (x) d = Sub (x, m) p = Pow (d, two) v = ReduceMean <axes = [-1]> (p)
    a = Add (v, eps) s = Sqrt (a) n = Div (d, s) g = Mul (n, gain) y = Add (g, shift)"""
SIX = "float[b, t, 6] x"
SOUND = "float[t, b, 6] x"

LOOPS = {
    "rounds that depend on a size": Trap(
        f"""s = Shape (x) n = Gather (s, w0) y = Loop <body = {BODY} {{ d = Identity (c)
        e = Gather <axis = 1> (v, last) w = Add (v, e) }}> (n, , x)""",
        counts={"unroll-loops": (0, 1), "positive-gather": (1, 0)},
        problems=1,
    ),
    "what a body collects, and a weight that it shares with the graph": Trap(
        """p = Mul (x, two) y, all = Loop <body =
        body (int64 i, bool c, float[b, t] v) => (bool d, float[b, t] w, float[b, t] k) {
        d = Identity (c) w = Mul (v, two) k = Sub (w, p) }> (w3, , x)""",
        outputs="y, all, p",
        counts={"unroll-loops": (1, 0)},
    ),
    "a condition that is computed": Trap(
        f"y = Loop <body = {BODY} {{ m = ReduceMax <keepdims = 0> (v) d = Less (m, two) w = Add (v, one) }}> (w3, , x)",
        counts={"unroll-loops": (0, 1)},
        problems=1,
    ),
    "one loop in another, whose names are taken": Trap(
        f"""y_w_1 = Neg (x) y = Loop <body = {BODY} {{ d = Identity (c) w = Loop <body =
        inner (int64 j, bool e, float[b, t] u) => (bool f, float[b, t] o) {{ f = Identity (e) g = Cast <to = 1> (i)
        h = Add (u, g) o = Mul (h, y_w_1) }}> (w2, , v) }}> (w2, , x)""",
        counts={"unroll-loops": (2, 0)},
    ),
    "a loop in a branch": Trap(
        f"""s = ReduceSum <keepdims = 0> (x) p = Greater (s, zero) h = Neg (x)
        y = If (p) <then_branch = t () => (float[b, t] r) {{ r = Loop <body = {BODY} {{ d = Identity (c)
        w = Add (v, h) }}> (w2, , x) }}, else_branch = e () => (float[b, t] q) {{ q = Identity (h) }}>""",
        counts={"unroll-loops": (1, 0)},
    ),
    "numbers that a loop carries": Trap(
        """s = Shape (x) n = Gather (s, w1) a, y = Loop <body =
        body (int64 i, bool c, int64 v) => (bool d, int64 w, int64 k) {
        d = Identity (c) w = Add (v, n) k = Mul (w, i) }> (w3, , w1)""",
        outputs="a, y",
        counts={"unroll-loops": (1, 0), "narrow-integers": (6, 0)},
    ),
    "a scan stays": Trap(
        """start = ReduceSum <keepdims = 0> (x, i0) y, z = Scan <num_scan_inputs = 1,
        body = b (float[t] s, float[t] r) => (float[t] o, float[t] k) { o = Add (s, r) k = Mul (o, two) }>
        (start, x)""",
        outputs="y, z",
        problems=1,
    ),
}

LSTM = '<hidden_size = 5, direction = "bidirectional">'
RECURRENT = {
    "lengths that two layers share and an output hands out": Trap(
        f"""k = Cast <to = 6> (lengths) a = LSTM {LSTM} (x, lstm_w, lstm_r, lstm_b, k)
        b, h = LSTM {LSTM} (x, lstm_w, lstm_r, , k)
        y = Add (a, b) n = Sub (lengths, i1)""",
        f"{SOUND}, int64[b] lengths",
        "y, h, n",
        {"forward-recurrences": (2, 0), "narrow-integers": (6, 1)},
    ),
    "weights shared with a layer that the target misreads": Trap(
        """a = LSTM <hidden_size = 5, direction = "reverse"> (x, one_w, one_r)
        b = LSTM <hidden_size = 5, direction = "reverse", clip = 0.5> (x, one_w, one_r) y = Sub (a, b)""",
        SOUND,
        counts={"forward-recurrences": (1, 1)},
        problems=1,
    ),
    "states in and out": Trap(
        """y, h = GRU <hidden_size = 5, direction = "reverse", linear_before_reset = 1> (x, gru_w, gru_r, , , s)""",
        f"{SOUND}, float[1, b, 5] s",
        "y, h",
        {"forward-recurrences": (1, 0)},
    ),
    "a cell state beside lengths": Trap(
        "k = Cast <to = 6> (lengths) y, h, c = LSTM <hidden_size = 5> (x, one_w, one_r, , k)",
        f"{SOUND}, int64[b] lengths",
        "y, h, c",
        {"forward-recurrences": (0, 1)},
    ),
    "an RNN, of which only the last step is read": Trap(
        """a, y = RNN <hidden_size = 5, direction = "bidirectional"> (x, rnn_w, rnn_r, rnn_b)""",
        SOUND,
        "y",
        {"forward-recurrences": (1, 0)},
    ),
    "a layer in a branch, with names that are taken": Trap(
        """x_LSTM_1 = Neg (x) s = ReduceSum <keepdims = 0> (x) p = Greater (s, zero)
        y = If (p) <then_branch = t () => (r) {
        r = LSTM <hidden_size = 5, direction = "reverse"> (x_LSTM_1, one_w, one_r) },
        else_branch = e () => (q) { q = LSTM <hidden_size = 5> (x, one_w, one_r) }>""",
        SOUND,
        counts={"forward-recurrences": (1, 0)},
    ),
}

DTYPES = {
    "a mask and its numbers, which are an output": Trap(
        """s = Shape (x) t = Gather (s, w1) p = Range (w0, t, w1) q = Mul (p, w2) m = Sub (q, w1) c = Less (m, p)
        y = Where (c, x, x)""",
        outputs="y, m",
        counts={"narrow-integers": (4, 0)},
    ),
    "names of Casts that are taken": Trap(
        "n_Cast_1 = Neg (x) i = Sub (n, i1) j = Add (i, i2) k = Sub (j, i2) y = Gather <axis = 1> (n_Cast_1, k)",
        "float[b, t] x, int64[b] n",
        "y, j",
        {"narrow-integers": (3, 0)},
    ),
    "numbers beyond 32 bits": Trap(
        "s = Shape (x) p = Mul (s, big) q = Div (p, big) y = Sub (q, i1)",
        counts={"narrow-integers": (0, 3)},
    ),
    "an overflow on the way": Trap(
        "p = Cast <to = 7> (a) q = Mul (p, big) r = Mul (q, i2) s = Div (r, big) y = Add (s, p)",
        "int8[k] a",
        counts={"narrow-integers": (0, 4)},
    ),
    "negative numbers, divided": Trap(
        "p = Cast <to = 7> (a) q = Div (p, i3) r = Mod (p, i3) s = Mul (q, i3) y = Add (s, r)",
        "int8[k] a",
        counts={"narrow-integers": (4, 0)},
    ),
    "sizes that a Reshape shares with arithmetic": Trap(
        """p = Cast <to = 7> (a) q = Mul (p, pair) r = Add (q, pair) f = Cast <to = 1> (r) z = Reshape (x, pair)
        y = MatMul (z, f)""",
        "float[b, 6] x, int8[2] a",
        counts={"narrow-integers": (2, 0)},
    ),
    "doubles between floats, and one that is handed out": Trap(
        "d = Cast <to = 11> (x) m = Mul (d, tenth) z = Add (m, tenth) y = Cast <to = 1> (z)",
        outputs="y, m",
        counts={"narrow-doubles": (4, 0)},
    ),
    "time stamps": Trap(
        "m = Sub (d, stamp) n = Add (m, stamp) k = Sub (n, stamp) y = Cast <to = 1> (k)",
        "double[b] d",
        counts={"narrow-doubles": (0, 1)},
        rolled_back=("clamp-constants",),
    ),
    "a size that is computed in doubles": Trap(
        """s = Shape (x) d = Cast <to = 11> (s) h = Div (d, double2) f = Floor (h) n = Cast <to = 7> (f)
        y = ConstantOfShape (n)""",
        counts={"narrow-doubles": (0, 1)},
    ),
    "half precision beside the same numbers in single": Trap(
        """h = Cast <to = 10> (x) d = Div (h, root16) e = Erf (d) a = Add (e, one16) m = Mul (h, a) g = Mul (m, half16)
        z = Cast <to = 1> (g) y = Add (z, x)""",
        outputs="y, g",
    ),
    "a mask at the end of half precision": Trap(
        "c = Less (x, zero) b = Where (c, low16, one16) h = Cast <to = 10> (x) s = Add (h, b) y = Softmax (s)",
    ),
    "an infinite mask": Trap("c = Less (x, eighth) m = Where (c, lowest, x) s = Softmax (m) y = Where (c, x, s)"),
}

ATTENTION = """q = MatMul (x, square) k = MatMul (x, other) v = MatMul (x, square) u = Transpose <perm = [0, 2, 1]> (k)
    s = MatMul (q, u) t0 = Mul (s, eighth) """
FORMS = {
    "a GELU whose middle is an output": Trap(GELU, outputs="y, e"),
    "a GELU whose end is read twice": Trap(f"{GELU} z = Neg (m)", outputs="y, z"),
    "half of a GELU": Trap(GELU.replace("(m, half)", "(m, eighth)")),
    "a normalisation whose mean is an output": Trap(NORM, SIX, "y, m"),
    "a normalisation along another axis": Trap(NORM.replace("[-1]", "[1]"), SIX),
    "a normalisation of another difference": Trap(NORM.replace("Pow (d, two)", "Mul (x, d)"), SIX, "y"),
    "a kernel that two convolutions and a product share": Trap(
        """a = Conv <pads = [1, 1]> (x, kernel) b = Relu (a) c = Conv <pads = [1, 1]> (b, kernel, line)
        k = Mul (kernel, two) y = Conv (c, k)""",
        "float[b, 6, t] x",
        "y, a",
    ),
    "a convolution that is read in one layout and the other": Trap(
        """a = Conv <pads = [1, 1]> (x, kernel) p = Transpose <perm = [0, 2, 1]> (a) m = MatMul (p, matrix)
        y = Softmax (m) z = Relu (a)""",
        "float[b, 6, t] x",
        "y, z",
    ),
    "products that share their input and a weight": Trap(
        """a = MatMul (x, square) b = MatMul (x, other) c = MatMul (x, square) d = Add (c, bias) e = Add (a, b)
        y = Mul (d, e)""",
        SIX,
    ),
    "attention over all steps": Trap(f"{ATTENTION} p = Softmax (t0) y = MatMul (p, v)", SIX),
    "attention whose probabilities are an output": Trap(f"{ATTENTION} p = Softmax (t0) y = MatMul (p, v)", SIX, "y, p"),
    "attention over the wrong axis": Trap(f"{ATTENTION} p = Softmax <axis = 1> (t0) y = MatMul (p, v)", SIX),
    "attention with a mask, and a mean over the steps": Trap(
        f"""{ATTENTION} c = Cast <to = 9> (mask) u1 = Unsqueeze (c, i1) l = Where (u1, t0, lowest) p = Softmax (l)
        o = MatMul (p, v) y = ReduceMean <axes = [1], keepdims = 0> (o)""",
        f"{SIX}, int64[b, t] mask",
    ),
}

UNUSUAL = {
    "a local function": Trap(
        "y = local.twice (x) z = Neg (y)",
        outputs="z",
        functions='<opset_import: ["": 17], domain: "local"> twice (a) => (b) { b = Add (a, a) }',
        problems=1,
    ),
    "sequences": Trap(
        """l = SplitToSequence <axis = 1> (x, w1) e = SequenceAt (l, minus) c = ConcatFromSequence <axis = 1> (l)
        y = Add (c, e)""",
    ),
    "numbers from a sequence": Trap(
        "n = Shape (x) l = SequenceConstruct (n, n) e = SequenceAt (l, w0) f = Add (e, n) y = Mul (f, n)",
        counts={"narrow-integers": (0, 1)},
    ),
    "nothing to join": Trap("n = Slice (x, end, end, i1) y = Concat <axis = 1> (n, x, n)", outputs="y"),
    "an input that is an output at once, and one twice": Trap(
        "y = Identity (x) z = Identity (x) w = Abs (x)", outputs="y, z, w"
    ),
    "an output under a second name": Trap("y = Abs (x) z = Identity (y) w = Neg (z)", outputs="y, z, w"),
    "several outputs of a node, one unused": Trap(
        "a, b, c = Split <axis = 1> (x) v, i = TopK <axis = 1> (a, i2) y = Gather <axis = 1> (c, minus)",
        "float[b, 6] x",
        "v, i, y",
        {"positive-gather": (1, 0)},
    ),
    "a computed number of rounds of nothing": Trap(
        "s = Shape (x) z = Sub (s, s) r = ReduceSum <keepdims = 0> (z) "
        "y = Loop <body = body (int64 i, bool c, float[b, t] v) => (bool c, float[b, t] v) { }> (r, , x)",
        counts={"unroll-loops": (0, 1), "narrow-integers": (0, 1)},
        problems=1,
    ),
}
ALL = LOOPS | RECURRENT | DTYPES | FORMS | UNUSUAL


OTHER_TARGETS = [(name, target) for name in FORMS | UNUSUAL for target in TARGETS if target != "ascend310p"]


@pytest.mark.parametrize(("name", "target"), [*((name, "ascend310p") for name in ALL), *OTHER_TARGETS])
def test_no_answer_changes(name, target, through_target):
    trap = ALL[name]
    ledger = through_target(trap.proto(), target)
    expected = trap.rolled_back if target == "ascend310p" else ()
    assert tuple(entry.name for entry in ledger.rolled_back) == expected, ledger.rolled_back
    assert len(ledger.cases) == 3
    if target == "ascend310p":
        assert len(ledger.problems) == trap.problems, ledger.problems
        found = {
            key: (sum(one.matches for one in entries), max(len(one.declined) for one in entries))
            for key in OWN
            if (entries := [one for one in ledger.entries if one.name == key])
        }
        assert {key: counts for key, counts in found.items() if any(counts)} == trap.counts


@pytest.mark.parametrize(
    "name",
    [
        "lengths that two layers share and an output hands out",
        "what a body collects, and a weight that it shares with the graph",
        "a kernel that two convolutions and a product share",
        "products that share their input and a weight",
        "a normalisation along another axis",
    ],
)
def test_weights_beside_the_model(name, through_target):
    assert through_target(ALL[name].proto(), external=True).rolled_back == ()
