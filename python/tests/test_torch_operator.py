# SPDX-License-Identifier: Apache-2.0
"""rapt::attention as PyTorch's compilers and exporters see it, and the gradients of all options."""

import unittest

from torch_cases import Case, bool_mask, tensors

import torch
import torch.nn.functional as F

import rapt
import rapt.torch
from rapt.torch._op import Counts

SHAPES = (2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8)
SPAN = {"left": 3, "right": 0, "q_offset": 2, "kv_start": [1, 0], "kv_len": [5, 7]}
OPTIONS = {
    "plain": {},
    "causal": {"causal": True},
    "span": SPAN,
    "all": {"causal": True, "softcap": 2.0, "scale": 0.7, **SPAN},
}


def reference(query, key, value, mask, sinks, causal=False, scale=None, softcap=None, **span):
    """By its definition, in double precision."""
    shape = query.shape[2], key.shape[2]
    position = torch.arange(shape[0])[:, None] + span.get("q_offset", 0)
    index = torch.arange(shape[1])
    allowed = torch.ones(query.shape[0], 1, *shape, dtype=torch.bool)
    if causal:
        allowed &= index <= position
    if "left" in span:
        allowed &= (index >= position - span["left"]) & (index <= position + span["right"])
        allowed &= index >= torch.tensor(span["kv_start"]).view(-1, 1, 1, 1)
        allowed &= index < torch.tensor(span["kv_len"]).view(-1, 1, 1, 1)
    group = query.shape[1] // key.shape[1]
    key, value = (tensor.double().repeat_interleave(group, 1) for tensor in (key, value))
    scores = query.double() @ key.mT * (scale or query.shape[-1] ** -0.5)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = (
            scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, -torch.inf)
        )
    scores = scores.masked_fill(~allowed, -torch.inf)
    if sinks is not None:
        column = sinks.double().view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, column], -1)
    empty = (scores == -torch.inf).all(-1, keepdim=True)
    weights = scores.masked_fill(empty, 0).softmax(-1).masked_fill(empty, 0)
    return (weights[..., : shape[1]] @ value).float()


def operator(*inputs, **options):
    return rapt.torch._op.attention(*inputs, **options)[0]


class Operator(Case):
    def test_gradients_of_every_option(self):
        for name, options in OPTIONS.items():
            for masks in range(3):
                with self.subTest(name, masks=masks):
                    mask = (None, bool_mask(2, 1, 5, 7), tensors((4, 5, 7))[0])[masks]
                    found, expected = (
                        self.run_backward(function, mask, options)
                        for function in (operator, reference)
                    )
                    self.assert_all_close(found, expected, 2e-5)

    def run_backward(self, function, mask, options):
        inputs = tensors(*SHAPES, grad=True)
        sinks = torch.linspace(-1, 1, 4).requires_grad_()
        if mask is not None and mask.is_floating_point():
            mask = mask.clone().requires_grad_()
            inputs.append(mask)
        out = function(*inputs[:3], mask, sinks, **options)
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        return [out.detach()] + [tensor.grad for tensor in (*inputs, sinks)]

    def test_opcheck(self):
        for name, options in list(OPTIONS.items())[::3]:
            for grad in (False, True):
                with self.subTest(name, grad=grad):
                    inputs = *tensors(*SHAPES, grad=grad), bool_mask(5, 7), None
                    torch.library.opcheck(rapt.torch._op.attention, inputs, options)

    def test_a_faulty_call_is_rapts_error(self):
        q, k, v = tensors(*SHAPES)
        with self.assertRaisesRegex(rapt.InvalidArgument, "head"):
            torch.ops.rapt.attention(q[:, :3], k, v, None, None)


class Compiled(Case):
    @staticmethod
    def model(query, key, value):
        return 2 * F.scaled_dot_product_attention(query, key, value, is_causal=True)

    @staticmethod
    def own(query, key, value):
        return 2 * rapt.torch.scaled_dot_product_attention(query, key, value, is_causal=True)

    def setUp(self):
        torch._dynamo.reset()
        self.inputs = tensors(*[(2, 4, 5, 8)] * 3)
        self.expected = self.model(*self.inputs)

    def test_whole_graph(self):
        for backend in ("eager", "aot_eager", "inductor"):
            with self.subTest(backend):
                torch._dynamo.reset()
                compiled = torch.compile(self.own, backend=backend, fullgraph=True)
                with rapt.torch.use() as done:
                    for _ in range(3):
                        self.assert_close(compiled(*self.inputs), self.expected)
                self.assertEqual(done.calls, 3)
                self.assert_gradients(compiled)

    def assert_gradients(self, compiled):
        inputs, others = ([t.clone().requires_grad_() for t in self.inputs] for _ in range(2))
        compiled(*inputs).square().sum().backward()
        self.model(*others).square().sum().backward()
        for one, other in zip(inputs, others):
            self.assert_close(one.grad, other.grad, 1e-4)

    def test_mode(self):
        for backend in ("aot_eager", "inductor"):
            with self.subTest(backend):
                torch._dynamo.reset()
                compiled = torch.compile(self.model, backend=backend, fullgraph=True)
                with rapt.torch.use() as done:
                    self.assert_close(compiled(*self.inputs), self.expected)
                    self.assert_close(compiled(*self.inputs), self.expected)
                self.assertEqual(done.calls, 2)
                outside = Counts()
                self.assert_close(compiled(*self.inputs), self.expected)
                self.assertEqual((done.calls, outside.calls), (2, 0))

    def test_other_shapes_and_dynamic_ones(self):
        compiled = torch.compile(self.own, backend="aot_eager", fullgraph=True, dynamic=True)
        for queries in (5, 6, 9):
            inputs = tensors(*[(2, 4, queries, 8)] * 3)
            self.assert_close(compiled(*inputs), self.model(*inputs))

    def test_export_keeps_it(self):
        class Model(torch.nn.Module):
            def forward(self, query, key, value):
                return Compiled.own(query, key, value)

        for strict in (False, True):
            program = torch.export.export(Model(), tuple(self.inputs), strict=strict)
            for graph in (program.graph, program.run_decompositions().graph):
                nodes = [str(node.target) for node in graph.nodes]
                self.assertEqual(nodes.count("rapt.attention.default"), 1)
            self.assert_close(program.module()(*self.inputs), self.expected)


if __name__ == "__main__":
    unittest.main()
