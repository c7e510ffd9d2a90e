"""`python -m manymodal`, and `torchrun ... -m manymodal`."""

from .cli import main

main()
