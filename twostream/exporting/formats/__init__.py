"""Formats, one a file; the module's name is the ending of its files.

Each has `DESCRIPTION`, what it is in words, and

- `write(model, spec, path)`: writes a network in evaluation mode, on the CPU, and its spec. Raises
  UserError where that cannot be;
- `read(path, model)`: the written file as a function from a `Clip` to logits (B, K), computed by the
  library that reads such files. `model` is the network that was written, and stays as it is.
"""
