from convback import ConvGeometry
from convback.contract import Array

class Layer:
    def __init__(self, geom: ConvGeometry) -> None: ...

class _Fused:
    def __getitem__(self, ctype: str) -> _Kernel: ...

class _Kernel:
    def __call__(self, *arguments: Array | Layer | int) -> None: ...

y: _Fused
dx: _Fused
dw: _Fused
db: _Fused
