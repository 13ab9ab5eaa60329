# SPDX-License-Identifier: Apache-2.0
"""PyTorch: F.scaled_dot_product_attention, with enable_gqa where heads share keys."""

from peer import Peer


class Library(Peer):
    name = "pytorch"
    title = "PyTorch"
    pip = "torch --index-url https://download.pytorch.org/whl/cpu"

    def load(self, threads):
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch
        self.types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

    def version(self):
        return self.torch.__version__

    def variants(self, shape, dtype):
        if shape.softcap:
            return []
        if shape.alibi or (shape.causal and not shape.plainly_causal and not shape.decode):
            return ["mask"] if shape.alibi else ["mask", "bool mask"]
        # With one query the heads that share keys can stand where queries do.
        return ["sdpa", "sdpa grouped"] if shape.decode and shape.group > 1 else ["sdpa"]

    def mask(self, variant, shape, dtype):
        torch = self.torch
        ok = torch.from_numpy(shape.mask())
        if variant == "bool mask":
            return ok
        bias = torch.zeros(ok.shape)
        if shape.alibi:
            query = shape.q_offset + torch.arange(shape.queries)[:, None]
            apart = (query - torch.arange(shape.keys)).abs()
            bias = -torch.from_numpy(shape.slopes())[:, None, None] * apart
        return bias.masked_fill(~ok, float("-inf")).to(self.types[dtype])

    def prepare(self, variant, shape, dtype, q, copies):
        torch, kind = self.torch, self.types[dtype]
        q = torch.from_numpy(q).to(kind)
        copies = [[torch.from_numpy(x).to(kind) for x in kv] for kv in copies]
        options = {"enable_gqa": shape.group > 1}
        if variant == "sdpa grouped":
            q = q.view(shape.batch, shape.kv_heads, shape.group, shape.dim)
            options = {}
        elif "mask" in variant:
            options["attn_mask"] = self.mask(variant, shape, dtype)
        elif shape.plainly_causal:
            options["is_causal"] = True
        run = torch.nn.functional.scaled_dot_product_attention
        whole = (shape.batch, shape.q_heads, shape.queries, shape.dim)
        return lambda copy: run(q, *copies[copy], **options).view(whole)

    def to_numpy(self, out):
        return out.float().numpy()
