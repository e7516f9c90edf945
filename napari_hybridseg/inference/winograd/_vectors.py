"""The innermost parts of a convolution, written for the processor's vectors.

``lanes`` channels lie beside one another in a register, and as many rows of a product are summed up
at once as there are registers for. Arrays are flat float32 in C order; nothing checks an index.

Numba's cache looks at the file of a loop alone: who changes this file touches ``_compiled.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from napari_hybridseg.inference.winograd.matrices import KINDS
from napari_hybridseg.older_python import zip

_FEATURES = binding.get_host_cpu_features()
WIDE = bool(_FEATURES.get("avx512f", False))
# rows of a product that are summed up at once, for one and for two vectors of columns
ROWS_OF_ONE, ROWS_OF_TWO = (16, 12) if WIDE else (8, 6)
FEW_ROWS = 4
_INT = ir.IntType(64)


class _Vectors:
    """Writes LLVM instructions on vectors of ``lanes`` numbers."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.type = ir.VectorType(ir.FloatType(), lanes)

    def whole(self, number: int) -> Any:
        """Give an index."""
        return ir.Constant(_INT, number)

    def constant(self, number: float) -> Any:
        """Give a vector of one number."""
        return ir.Constant(self.type, [float(number)] * self.lanes)

    def at(self, pointer: Any, *steps: Any) -> Any:
        """Move a pointer by whole numbers, or by products of a step and a count."""
        for step in steps:
            if isinstance(step, tuple):
                step = self.builder.mul(step[0], self.whole(step[1]))
            elif isinstance(step, int):
                step = self.whole(step)
            pointer = self.builder.gep(pointer, [step])
        return pointer

    def load(self, pointer: Any) -> Any:
        """Read a vector, at any address."""
        return self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()), align=4)

    def store(self, vector: Any, pointer: Any) -> None:
        """Write a vector, at any address."""
        self.builder.store(vector, self.builder.bitcast(pointer, self.type.as_pointer()), align=4)

    def filled(self, number: Any) -> Any:
        """Put one number into every lane."""
        empty = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, empty, first)

    def product_and(self, factor: Any, other: Any, summand: Any) -> Any:
        """Multiply and add, in one step where the processor has one."""
        product = self.builder.fmul(factor, other, flags=("contract",))
        return self.builder.fadd(product, summand, flags=("contract",))

    def combined(self, coefficients: Any, vectors: Sequence[Any]) -> Any:
        """Add up vectors, each times its number; ones first, for they need no product."""
        terms = [(c, v) for c, v in zip(coefficients, vectors, strict=True) if c]
        (first, total), *others = sorted(terms, key=lambda term: abs(abs(term[0]) - 1))
        if first != 1:
            negative = self.builder.fneg(total)
            total = negative if first == -1 else self.builder.fmul(total, self.constant(first))
        for number, vector in others:
            if number == 1:
                total = self.builder.fadd(total, vector)
            elif number == -1:
                total = self.builder.fsub(total, vector)
            else:
                total = self.product_and(self.constant(number), vector, total)
        return total

    def transformed(self, matrix: Any, vectors: Sequence[Any]) -> list[Any]:
        """Multiply a matrix by vectors; sums that two rows or two columns share are made once."""
        matrix, vectors = self._shared_columns(np.array(matrix, float), list(vectors))
        found: dict[int, Any] = {}
        for i, j in _twins(matrix):
            even = self.combined((matrix[i] + matrix[j]) / 2, vectors)
            odd = self.combined((matrix[i] - matrix[j]) / 2, vectors)
            found[i], found[j] = self.builder.fadd(even, odd), self.builder.fsub(even, odd)
        for i, row in enumerate(matrix):
            if i not in found:
                found[i] = self.combined(row, vectors)
        return [found[i] for i in range(len(matrix))]

    def _shared_columns(self, matrix: Any, vectors: list[Any]) -> tuple[Any, list[Any]]:
        """Replace vectors that appear only as their sum and their difference by those."""
        matrix = matrix.copy()
        for i, j in _twins(matrix.T):
            a, b = vectors[i], vectors[j]
            vectors[i], vectors[j] = self.builder.fadd(a, b), self.builder.fsub(a, b)
            same = matrix[:, i] == matrix[:, j]
            number = matrix[:, i].copy()
            matrix[:, i], matrix[:, j] = np.where(same, number, 0), np.where(same, 0, number)
        return matrix, vectors


def _twins(rows: Any) -> list[tuple[int, int]]:
    """Find neighbours that are equal but for signs, with at least two numbers equal and two not."""
    found: list[tuple[int, int]] = []
    for i in range(len(rows) - 1):
        a, b = rows[i], rows[i + 1]
        used = found and found[-1][1] == i
        both = (a == b) & (a != 0)
        opposite = (a == -b) & (a != 0)
        if not used and (abs(a) == abs(b)).all() and both.sum() > 1 and opposite.sum() > 1:
            found.append((i, i + 1))
    return found


def _pointer(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic(prefer_literal=True)
def input_tile(
    typing: Any, source: Any, at: Any, dz: Any, dy: Any, dx: Any,
    target: Any, to: Any, apart: Any, kind: Any, lanes: Any,
) -> Any:  # fmt: skip
    """Transform the inputs of one tile; its products lie ``apart`` in the target."""
    index = types.intp
    signature = types.void(
        source, index, index, index, index, target, index, index, kind, lanes
    )  # fmt: skip
    z_axis, y_axis, x_axis = KINDS[kind.literal_value]

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(builder, lanes.literal_value)
        begin = _pointer(context, builder, signature.args[0], args[0], args[1])
        end = _pointer(context, builder, signature.args[5], args[5], args[6])
        values = {}
        for z in range(z_axis.inputs):
            for y in range(y_axis.inputs):
                row = v.at(begin, (args[2], z), (args[3], y))
                read = [v.load(v.at(row, (args[4], x))) for x in range(x_axis.inputs)]
                for x, vector in enumerate(v.transformed(x_axis.inputs_matrix, read)):
                    values[z, y, x] = vector
        for z in range(z_axis.inputs):
            for x in range(x_axis.inputs):
                read = [values[z, y, x] for y in range(y_axis.inputs)]
                for y, vector in enumerate(v.transformed(y_axis.inputs_matrix, read)):
                    values[z, y, x] = vector
        for y in range(y_axis.inputs):
            for x in range(x_axis.inputs):
                read = [values[z, y, x] for z in range(z_axis.inputs)]
                for z, vector in enumerate(v.transformed(z_axis.inputs_matrix, read)):
                    number = (z * y_axis.inputs + y) * x_axis.inputs + x
                    v.store(vector, v.at(end, (args[7], number)))
        return context.get_dummy_value()

    return signature, write


@intrinsic(prefer_literal=True)
def output_tile(
    typing: Any, source: Any, at: Any, apart: Any, bias: Any, bias_at: Any,
    target: Any, to: Any, dz: Any, dy: Any, dx: Any, kind: Any, lanes: Any,
) -> Any:  # fmt: skip
    """Transform the products of one tile, which lie ``apart``, to its outputs."""
    index = types.intp
    signature = types.void(
        source, index, index, bias, index, target, index, index, index, index, kind, lanes
    )  # fmt: skip
    z_axis, y_axis, x_axis = KINDS[kind.literal_value]

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(builder, lanes.literal_value)
        begin = _pointer(context, builder, signature.args[0], args[0], args[1])
        added = v.load(_pointer(context, builder, signature.args[3], args[3], args[4]))
        end = _pointer(context, builder, signature.args[5], args[5], args[6])
        values = {}
        for y in range(y_axis.inputs):
            for x in range(x_axis.inputs):
                numbers = [
                    (z * y_axis.inputs + y) * x_axis.inputs + x for z in range(z_axis.inputs)
                ]
                read = [v.load(v.at(begin, (args[2], number))) for number in numbers]
                for z, vector in enumerate(v.transformed(z_axis.outputs_matrix, read)):
                    values[z, y, x] = vector
        for z in range(z_axis.outputs):
            for x in range(x_axis.inputs):
                read = [values[z, y, x] for y in range(y_axis.inputs)]
                for y, vector in enumerate(v.transformed(y_axis.outputs_matrix, read)):
                    values[z, y, x] = vector
        for z in range(z_axis.outputs):
            for y in range(y_axis.outputs):
                row = v.at(end, (args[7], z), (args[8], y))
                read = [values[z, y, x] for x in range(x_axis.inputs)]
                for x, vector in enumerate(v.transformed(x_axis.outputs_matrix, read)):
                    v.store(builder.fadd(vector, added), v.at(row, (args[9], x)))
        return context.get_dummy_value()

    return signature, write


@intrinsic(prefer_literal=True)
def product(
    typing: Any, left: Any, l_at: Any, l_apart: Any, right: Any, r_at: Any, r_apart: Any,
    start: Any, s_at: Any, s_apart: Any, target: Any, t_at: Any, t_apart: Any, depth: Any,
    rows: Any, vectors: Any, lanes: Any,
) -> Any:  # fmt: skip
    """Write ``start + left @ right`` for some rows and for some vectors of columns."""
    index = types.intp
    signature = types.void(
        left, index, index, right, index, index, start, index, index, target, index, index, index,
        rows, vectors, lanes,
    )  # fmt: skip
    many, wide = rows.literal_value, vectors.literal_value

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(builder, lanes.literal_value)
        kinds = signature.args
        begin = _pointer(context, builder, kinds[0], args[0], args[1])
        other = _pointer(context, builder, kinds[3], args[3], args[4])
        first = _pointer(context, builder, kinds[6], args[6], args[7])
        end = _pointer(context, builder, kinds[9], args[9], args[10])
        begins = [v.at(begin, (args[2], row)) for row in range(many)]
        lines = [v.at(first, (args[8], row)) for row in range(many)]
        starts = [[v.load(v.at(line, n * v.lanes)) for n in range(wide)] for line in lines]
        before = builder.block
        loop, after = builder.append_basic_block("depth"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(_INT)
        step.add_incoming(v.whole(0), before)
        sums = [[builder.phi(v.type) for _ in range(wide)] for _ in range(many)]
        columns = v.at(other, builder.mul(step, args[5]))
        factors = [v.load(v.at(columns, n * v.lanes)) for n in range(wide)]
        new = []
        for row in range(many):
            value = v.filled(builder.load(v.at(begins[row], step)))
            new.append([v.product_and(value, factors[n], sums[row][n]) for n in range(wide)])
        following = builder.add(step, v.whole(1))
        step.add_incoming(following, loop)
        for row in range(many):
            for n in range(wide):
                sums[row][n].add_incoming(starts[row][n], before)
                sums[row][n].add_incoming(new[row][n], loop)
        builder.cbranch(builder.icmp_signed("<", following, args[12]), loop, after)
        builder.position_at_end(after)
        for row in range(many):
            line = v.at(end, (args[11], row))
            for n in range(wide):
                v.store(new[row][n], v.at(line, n * v.lanes))
        return context.get_dummy_value()

    return signature, write


@intrinsic(prefer_literal=True)
def add_scaled(
    typing: Any, target: Any, t_at: Any, source: Any, s_at: Any, factor: Any, lanes: Any
) -> Any:
    """Add one vector, times a number, to another."""
    index = types.intp
    signature = types.void(target, index, source, index, types.float32, lanes)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(builder, lanes.literal_value)
        end = _pointer(context, builder, signature.args[0], args[0], args[1])
        begin = _pointer(context, builder, signature.args[2], args[2], args[3])
        v.store(v.product_and(v.filled(args[4]), v.load(begin), v.load(end)), end)
        return context.get_dummy_value()

    return signature, write
