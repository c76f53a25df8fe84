"""TV-L1: Zach, Pock, Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007.

`cpu.py` tells the method and is the file to read first; its loops over pixels are in `kernels.py`.
`pyramid.py` is the order of the steps for a batch of pairs, and is handed what happens at one level:
`torch.py` has it in PyTorch's operations, `triton.py` in kernels for GPUs (`triton_kernels.py`).
All three have the options and profiles of `options.py`.
"""

from flowcache.algorithms.tvl1.cpu import TVL1
from flowcache.types import Backend

create = TVL1

BACKENDS = (
    Backend(name="cpu", module=f"{__name__}.cpu"),
    Backend(name="triton", module=f"{__name__}.triton", devices=("cuda",), batched=True),
    Backend(name="torch", module=f"{__name__}.torch", devices=("cuda", "cpu", "mps"), batched=True),
)
