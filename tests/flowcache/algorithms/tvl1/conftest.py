import pytest
import triton_child

from flowcache.algorithms._batched.session import gpus


@pytest.fixture(scope="session")
def child(root, tmp_path_factory):
    """A process in which Triton computes, by the GPU or by the interpreter."""
    triton_child.require_triton()
    folder = tmp_path_factory.mktemp("triton")
    child = triton_child.Child(root, folder, interpreter=not gpus())
    yield child
    child.close()
